/** What the build adds to the bundle: the runtime of the encoder, and the sum of the sources. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const RUNTIME = "ort-wasm-simd-threaded";
const SOURCES = ["../src/composir/pages/tokens.css", "src", "public", "index.html", "build.ts", "vite.config.ts", "package-lock.json"];

/** Emits the runtime once, compressed, beside the page instead of inside it. */
export function runtime(): Plugin {
  return {
    name: "runtime",
    apply: "build",
    generateBundle(_options, bundle) {
      for (const name of Object.keys(bundle)) {
        if (name.endsWith(".wasm")) delete bundle[name];
      }
      const folder = "node_modules/onnxruntime-web/dist";
      const wasm = readFileSync(join(folder, `${RUNTIME}.wasm`));
      this.emitFile({ type: "asset", fileName: `runtime/${RUNTIME}.wasm.gz`, source: gzipSync(wasm, { level: 9 }) });
      const glue = readFileSync(join(folder, `${RUNTIME}.mjs`));
      this.emitFile({ type: "asset", fileName: `runtime/${RUNTIME}.mjs`, source: glue });
    },
  };
}

/** Emits `build.json`, by which a test without Node sees whether the built page is of these sources. */
export function sourceSum(): Plugin {
  return {
    name: "source-sum",
    apply: "build",
    generateBundle() {
      const sum = createHash("sha256");
      for (const path of SOURCES.flatMap(filesOf).sort()) {
        sum.update(`${path}\n`).update(readFileSync(path)).update("\n");
      }
      const source = `${JSON.stringify({ sources: sum.digest("hex") })}\n`;
      this.emitFile({ type: "asset", fileName: "build.json", source });
    },
  };
}

function filesOf(path: string): string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(".", join(entry.parentPath, entry.name)).split(sep).join("/"));
}
