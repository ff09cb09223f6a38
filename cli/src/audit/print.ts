/** Prints a line; false once nobody reads any more, as when the output is piped to `head`. */
export type Print = (line: string) => Promise<boolean>;

export const print: Print = (line) =>
  new Promise((resolve) => {
    process.stdout.once("error", () => resolve(false));
    process.stdout.write(`${line}\n`, (error) => {
      process.stdout.removeAllListeners("error");
      if (error) process.stdout.on("error", () => {});
      resolve(!error);
    });
  });
