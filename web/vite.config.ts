import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defaultClientConditions } from "vite";
import { defineConfig } from "vitest/config";
import { runtime, sourceSum } from "./build";

export default defineConfig({
  base: "./",
  plugins: [svelte(), runtime(), sourceSum()],
  // The runtime stays a file of its own, fetched by who encodes in the browser alone.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  worker: { format: "es" },
  build: {
    outDir: "../src/composir/serve/static",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // the first with `light-dark`
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8732" } },
  test: { include: ["tests/*.test.ts"] },
});
