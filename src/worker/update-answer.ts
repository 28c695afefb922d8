import type { UpdateAnswer } from "../core/turn-result.js";

/** The answer of an update as the text of its entry: one letter for what it is, then the encoded value or error. */
const letters: Readonly<Record<UpdateAnswer["status"], string>> = { completed: "c", failed: "f", refused: "r" };

export const writeAnswer = ({ status, text }: UpdateAnswer): string => `${letters[status]}${text}`;

export const readAnswer = (text: string): Omit<UpdateAnswer, "id"> => ({
  status: text.startsWith("c") ? "completed" : text.startsWith("f") ? "failed" : "refused",
  text: text.slice(1),
});
