/** Of Sluice: what its packages, its words to upstreams and its audit trail say. */
export const sluiceVersion = "0.1.0";
