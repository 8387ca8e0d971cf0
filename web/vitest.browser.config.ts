import { defineConfig } from "vitest/config";

const [alone] = ["screens", "figures"].filter((name) => process.env[name.toUpperCase()]);
const include = alone ? [`tests/browser/${alone}.ts`] : ["tests/browser/**/*.test.ts"];

/** Tests of the built page in a real browser, against a real server. */
export default defineConfig({
  test: {
    include,
    globalSetup: "tests/browser/server.ts",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 300_000,
    retry: 1,
  },
});
