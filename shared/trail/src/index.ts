export { readCall, readContent } from "./call.ts";
export { readPage } from "./page.ts";
export { faultOf, readTrail, types, type PlacedRow, type TrailQuery } from "./read.ts";
