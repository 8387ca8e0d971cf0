import { readFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";
import { expect, test } from "vitest";

const folder = new URL("../openapi/", import.meta.url);

/** That `document.json` is the server's is held by tests/serve/test_api_types.py. */
test("the types of the API are those of its document", async () => {
  const made = astToString(await openapiTS(new URL("document.json", folder)));
  const kept = readFileSync(new URL("schema.ts", folder), "utf8");
  expect(kept.endsWith(made)).toBe(true); // it begins with a word to the reader
});
