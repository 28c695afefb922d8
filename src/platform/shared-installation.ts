/** Something process-wide that several engines share: put up for the first of them, taken down after the last. */
export interface SharedInstallation {
  /** Answers how to leave; leaving twice counts once. */
  join(): () => void;
}

export function sharedInstallation(install: () => () => void): SharedInstallation {
  let members = 0;
  let uninstall = (): void => {};
  return {
    join() {
      if (members++ === 0) uninstall = install();
      let joined = true;
      return () => {
        if (!joined) return;
        joined = false;
        if (--members === 0) uninstall();
      };
    },
  };
}
