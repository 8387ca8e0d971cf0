/** The runtime, from a server or from a host of plain files. */

import * as ort from "onnxruntime-web/wasm";
import { bytesOf } from "./fetching";

export interface Runtime {
  readonly folder: string; // address of the runtime's files
  readonly isPacked: boolean; // whether nobody unpacks them on the way
}

/** Say where the runtime is, before the first session. */
export async function prepareRuntime({ folder, isPacked }: Runtime): Promise<number> {
  const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = folder;
  if (isPacked) ort.env.wasm.wasmBinary = await unpacked(`${folder}ort-wasm-simd-threaded.wasm.gz`);
  return threads;
}

/** The bytes of a packed file; some hosts say that it is one, and the browser has unpacked it then. */
async function unpacked(address: string): Promise<ArrayBuffer> {
  const bytes = await bytesOf(address);
  const [first, second] = new Uint8Array(bytes, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
