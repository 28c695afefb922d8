/** What a hint may be about. Those whom it does not concern ask the store nothing. */
export interface Hint {
  /** A run may be due. */
  readonly runs: boolean;
  /** A task may be. */
  readonly tasks: boolean;
  /** Something may have come for a run that is driven, or an activity that is executed, by whoever is told: mail, a cancel, its end by force. */
  readonly mail: boolean;
  /** A run may have ended. */
  readonly ends: boolean;
  /** There may be state, an answer or a chunk of a stream to be read. */
  readonly shown: boolean;
}

/** The same for stores, as a sum of `news`: what many operations have made is one number. */
export type News = number;

export const news = { runs: 1, tasks: 2, mail: 4, ends: 8, shown: 16 } as const;

/** Of a hint that does not say what it is about. */
export const everything: News = 31;

export const hintOf = (about: News): Hint => ({
  runs: (about & news.runs) !== 0,
  tasks: (about & news.tasks) !== 0,
  mail: (about & news.mail) !== 0,
  ends: (about & news.ends) !== 0,
  shown: (about & news.shown) !== 0,
});
