export { cursorOf } from "./cursor.ts";
export { readCall, readContent } from "./call.ts";
export { readPage } from "./page.ts";
export {
  plain,
  faultOf as trailFault,
  readTrail,
  types as trailTypes,
  type PlacedRow,
  type TrailQuery,
} from "./read.ts";
