import { renameSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { faults } from "./axe";
import { ARMCHAIR, exported, fetchedBy, searched } from "./server";

const MINUTE = 60_000;
let stage: Awaited<ReturnType<typeof exported>>;

beforeAll(async () => {
  stage = await exported();
}, 5 * MINUTE);
afterAll(() => stage?.close());
afterEach(() => expect(stage.problems.splice(0)).toEqual([]));

const names = (page: Page): Promise<string[]> =>
  page.locator("#results [data-tile]").evaluateAll((tiles) => tiles.map((tile) => tile.ariaLabel!.replace("Open ", "")));

async function say(page: Page, words: string): Promise<void> {
  await page.fill("#words", words);
  await page.press("#words", "Enter");
  await page.locator("#results[aria-busy=true]").waitFor({ timeout: 5_000 }).catch(() => undefined);
  await page.locator("#results[aria-busy=false]").waitFor({ timeout: 2 * MINUTE });
}

const fileNames = (found: Awaited<ReturnType<typeof searched>>): string[] => found.hits.map(({ path }) => path.split("/").at(-1)!);

test("plain files find what the library finds: words alone, and a picture with words", async () => {
  const asked: string[] = [];
  const page = await stage.open();
  const bytes = fetchedBy(page);
  page.on("request", (request) => asked.push(`${request.method()} ${new URL(request.url()).origin}`));
  await page.reload(); // with all requests counted
  await page.locator("[data-tile]").first().waitFor(); // what is asked before the page stands is lost
  await say(page, "a purple vase on the grass");
  expect(bytes()).toBeGreaterThan(20 * 2 ** 20); // workers' requests are among them
  expect(bytes()).toBeLessThan(36 * 2 ** 20); // words need no query side
  const words = await searched("-k", "10", "a purple vase on the grass");
  expect((await names(page)).slice(0, 10)).toEqual(fileNames(words));

  await page.setInputFiles("input[type=file] >> nth=0", ARMCHAIR);
  await say(page, "in red");
  const both = await searched("-k", "10", "--composer", "isa-compose", "--include-reference", "--image", ARMCHAIR, "in red");
  expect((await names(page)).slice(0, 10)).toEqual(fileNames(both));
  expect(new Set(asked)).toEqual(new Set([`GET ${new URL(stage.address).origin}`])); // nothing is sent anywhere
  await page.context().close();
}, 8 * MINUTE);

test("on from a picture of the gallery, without itself; what needs a server is not offered", async () => {
  const page = await stage.open();
  await say(page, "a green teapot");
  const [first] = await names(page);
  await page.getByRole("button", { name: "From here" }).first().click();
  await page.locator("#results[aria-busy=false]").waitFor({ timeout: 2 * MINUTE });
  await expect.poll(() => names(page).then((found) => found.includes(first!)), { timeout: MINUTE }).toBe(false);
  expect((await names(page)).length).toBeGreaterThan(10);
  expect(await page.getByRole("button", { name: "Filter" }).count()).toBe(0);
  await page.getByText("Everything happens in this browser").waitFor();
  await page.context().close();
}, 5 * MINUTE);

test("a file that is missing is said, and nothing is amiss for assistive technology", async () => {
  // Taken away for real: a worker's requests can be on their way before a browser lets a test answer them.
  const [words, away] = [join(stage.folder, "model/words.bin"), join(stage.folder, "away.bin")];
  renameSync(words, away);
  const page = await stage.open({ colorScheme: "dark" });
  expect(await faults(page)).toEqual([]);
  await page.fill("#words", "a lamp");
  await page.press("#words", "Enter");
  await page.getByText("A file of this page cannot be read.").waitFor({ timeout: MINUTE });
  expect(await faults(page)).toEqual([]);
  renameSync(away, words);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator("#results [data-tile]").first().waitFor({ timeout: MINUTE });
  stage.problems.splice(0); // the console tells of the request that this test broke
  await page.context().close();
}, 5 * MINUTE);
