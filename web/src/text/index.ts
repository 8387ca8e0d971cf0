import { en } from "./en";

/** The texts of the page's language. */
export const text = en;
