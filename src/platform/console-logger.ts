interface ConsoleLogger {
  debug(message: string, data?: object): void;
  info(message: string, data?: object): void;
  warn(message: string, data?: object): void;
  error(message: string, data?: object): void;
}

/** What is used when nobody gives a logger: warnings and errors to the console, the rest to nobody. */
export const consoleLogger: ConsoleLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message, data) => console.warn(`perdure: ${message}`, ...(data === undefined ? [] : [data])),
  error: (message, data) => console.error(`perdure: ${message}`, ...(data === undefined ? [] : [data])),
};
