import { defineConfig } from "vitest/config";

/** Tests of the built page in a real browser, against a real server. */
export default defineConfig({
  test: { include: ["tests/browser/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 180_000 },
});
