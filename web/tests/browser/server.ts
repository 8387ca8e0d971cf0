/** A real server over the sample catalogue, and the system's Chromium, for one file of tests. */

import { spawn, type ChildProcess } from "node:child_process";
import { createServer, request as forward, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";

const ROOT = resolve(import.meta.dirname, "../../..");
export const PICTURES = join(ROOT, "examples/catalogue/images");
export const ARMCHAIR = join(PICTURES, "armchair-boxy-black-fabric-white-studio-front.jpg");
const PYTHON = process.env["COMPOSIR_PYTHON"] ?? join(ROOT, ".venv-test/bin/python");
const CHROMIUM = process.env["COMPOSIR_CHROMIUM"] ?? "/usr/bin/chromium";
const RUN = "from composir.cli.entry import run; run()";
const QUIET = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** One request of the page, as it went over the wire. */
export interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
}

export interface Stage {
  readonly address: string;
  readonly sent: Sent[];
  readonly open: (options?: BrowserContextOptions) => Promise<Page>;
  readonly problems: string[]; // what the console and the page complained of
  readonly close: () => Promise<void>;
}

/** Index the catalogue's pictures, once for all files of tests (or runs); returns how to tidy up. */
export async function setup(): Promise<() => void> {
  if (process.env["COMPOSIR_WEB"]) return () => undefined;
  const folder = mkdtempSync(join(tmpdir(), "composir-web-"));
  const metadata = join(ROOT, "examples/catalogue/gallery.jsonl");
  await finished(composir(folder, "index", PICTURES, "--gallery", join(folder, "gallery"), "--metadata", metadata));
  process.env["COMPOSIR_WEB"] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}

/** Serve them at a free port, and start the browser. */
export async function staged(...options: string[]): Promise<Stage> {
  const folder = process.env["COMPOSIR_WEB"]!;
  const server = composir(folder, "serve", join(folder, "gallery"), "--port", "0", "--originals", "--no-open", ...options);
  const sent: Sent[] = [];
  const recorder = await recording(`${await said(server, /(http:\/\/127\.0\.0\.1:\d+)/)}/`, sent);
  const address = `http://127.0.0.1:${(recorder.address() as AddressInfo).port}/`;
  return filmed(address, sent, () => {
    recorder.close();
    server.kill();
  });
}

async function filmed(address: string, sent: Sent[], end: () => void): Promise<Stage> {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET });
  const problems: string[] = [];
  const close = async (): Promise<void> => {
    await browser.close();
    end();
  };
  return { address, sent, open: (options) => opened(browser, address, problems, options), problems, close };
}

/** The same gallery as plain files behind a server of files, started where nothing of composir runs. */
export async function exported(...options: string[]): Promise<Stage & { readonly folder: string }> {
  const home = process.env["COMPOSIR_WEB"]!;
  const folder = mkdtempSync(join(home, "site-"));
  await finished(composir(home, "export", "page", join(home, "gallery"), "--out", folder, ...options));
  const files = spawn(PYTHON, ["-um", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder]);
  const port = await said(files, /port (\d+)/);
  return { ...(await filmed(`http://127.0.0.1:${port}/`, [], () => files.kill())), folder };
}

/** What the library finds, as `composir search --json` says. */
export async function searched(...words: string[]): Promise<{ hits: { path: string }[]; confidence: { value: number } }> {
  const home = process.env["COMPOSIR_WEB"]!;
  const search = composir(home, "search", "--gallery", join(home, "gallery"), "--no-server", "--json", ...words);
  const parts: string[] = [];
  search.stdout!.on("data", (part) => parts.push(String(part)));
  await finished(search);
  return JSON.parse(parts.join("")) as { hits: { path: string }[]; confidence: { value: number } };
}

/** Counts the bytes of all answers from now on, those to workers too. */
export function fetchedBy(page: Page): () => number {
  let bytes = 0;
  page.on("response", (response) => (bytes += Number(response.headers()["content-length"] ?? 0)));
  return () => bytes;
}

function composir(home: string, ...args: string[]): ChildProcess {
  const env = { ...process.env, COMPOSIR_HOME: home, PYTHONPATH: join(ROOT, "src"), PYTHONUNBUFFERED: "1" };
  return spawn(PYTHON, ["-c", RUN, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
}

function finished(child: ChildProcess): Promise<void> {
  return new Promise((done, fail) => {
    let said = "";
    child.stderr!.on("data", (part) => (said += part));
    child.stdout!.on("data", (part) => (said += part));
    child.on("exit", (code) => (code === 0 ? done() : fail(new Error(said))));
  });
}

function said(child: ChildProcess, what: RegExp): Promise<string> {
  return new Promise((done, fail) => {
    let heard = "";
    const read = (part: Buffer): void => {
      heard += part;
      const found = what.exec(heard);
      if (found) done(found[1]!);
    };
    child.stdout!.on("data", read);
    child.stderr!.on("data", read);
    child.on("exit", () => fail(new Error(heard)));
  });
}

/** Stands before the server and keeps every body, which a browser does not tell of forms. */
function recording(address: string, sent: Sent[]): Promise<Server> {
  const { hostname, port } = new URL(address);
  const recorder = createServer((request, response) => {
    const { method = "", url: path = "", headers } = request;
    const parts: Buffer[] = [];
    const onward = forward({ hostname, port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => sent.push({ method, path, body: Buffer.concat(parts) }));
    request.pipe(onward);
  });
  return new Promise((done) => recorder.listen(0, "127.0.0.1", () => done(recorder)));
}

async function opened(
  browser: Browser, address: string, problems: string[], options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(address);
  await page.locator("[data-tile], [role=alert]").first().waitFor();
  return page;
}
