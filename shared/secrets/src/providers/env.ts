import type { ProviderContext, SecretProvider } from "../provider.ts";

/** `${env:NAME}`: a variable of this process, the same for all its life. */
export function envProvider({ env }: ProviderContext): SecretProvider {
  return {
    watch: (name, told) => {
      const value = env[name];
      if (value === undefined) told.problem("the environment variable is not set");
      else if (value.trim() === "") told.problem("the environment variable is empty");
      else told.value(value);
      return { [Symbol.dispose]: () => {} };
    },
  };
}
