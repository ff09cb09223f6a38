const wrongLastSequence = 10071;

/** Whether JetStream did not write because somebody else wrote first. */
export function isLostRace(error: unknown): boolean {
  return (error as { code?: number }).code === wrongLastSequence;
}
