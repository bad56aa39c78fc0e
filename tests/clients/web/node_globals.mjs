// What some of Element's dependencies take for granted because Node has it.

export { Buffer } from "buffer/index.js";
