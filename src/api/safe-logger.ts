import { consoleLogger } from "../platform/console-logger.js";
import type { Logger } from "./context-types.js";

/** The user's logger, unable to fail: an exception of it (a value that it cannot print) would come up in the middle of a commit or a renewal of the lease. */
export function safeLogger(logger: Logger): Logger {
  let said = false;
  const safely =
    (level: keyof Logger) =>
    (message: string, data?: object): void => {
      try {
        logger[level](message, data);
      } catch (error) {
        if (said) return;
        said = true;
        consoleLogger.warn("The logger threw an exception; what it was given is lost. This is said once.", { message, error });
      }
    };
  return { debug: safely("debug"), info: safely("info"), warn: safely("warn"), error: safely("error") };
}
