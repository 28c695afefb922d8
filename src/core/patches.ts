/** What the code was answered about patches: once for each, and for the rest of the run. */
export class Patches {
  #decided: Map<string, boolean> | undefined;

  decide(id: string, look: () => boolean): boolean {
    const known = this.#decided?.get(id);
    if (known !== undefined) return known;
    const answer = look();
    (this.#decided ??= new Map()).set(id, answer);
    return answer;
  }
}
