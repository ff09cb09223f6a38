/** Does the work at once and then at intervals, counted from its end. @returns what ends it, having done it once more */
export function repeat(everyMs: number, work: () => Promise<void>): () => Promise<void> {
  const stopping = Promise.withResolvers<void>();
  const state = { stopped: false };
  const rounds = async () => {
    while (!state.stopped) {
      await work();
      let timer: NodeJS.Timeout | undefined;
      const pause = new Promise<void>((resolve) => (timer = setTimeout(resolve, everyMs)));
      if (!state.stopped) await Promise.race([pause, stopping.promise]);
      clearTimeout(timer);
    }
    await work();
  };
  const ended = rounds();
  return () => {
    state.stopped = true;
    stopping.resolve();
    return ended;
  };
}
