import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { faults } from "./axe";
import { ARMCHAIR, PICTURES, staged, type Stage } from "./server";

const FILE_INPUT = "input[type=file] >> nth=0";
let stage: Stage;

beforeAll(async () => {
  stage = await staged();
}, 180_000);
afterAll(() => stage?.close());
afterEach(() => expect(stage.problems.splice(0)).toEqual([]));

async function answered(page: Page, act: () => Promise<unknown>): Promise<void> {
  const answer = page.waitForResponse((response) => response.url().includes("/v1/search"));
  await act();
  expect((await answer).status()).toBe(200);
  await page.locator("#results[aria-busy=false]").waitFor();
}

const firstName = (page: Page): Promise<string | null> =>
  page.locator("#results [data-tile]").first().getAttribute("aria-label");

const names = (page: Page): Promise<string[]> =>
  page.locator("#results [data-tile]").evaluateAll((tiles) => tiles.map((tile) => tile.ariaLabel ?? ""));

async function say(page: Page, words: string): Promise<void> {
  await page.fill("#words", words);
  await answered(page, () => page.press("#words", "Enter"));
}

test("words find pictures, and the address keeps the question", async () => {
  const page = await stage.open();
  await say(page, "a purple vase on the grass");
  expect((await names(page)).slice(0, 12).some((name) => name.includes("vase-slender-purple"))).toBe(true);
  expect(new URL(page.url()).searchParams.get("text")).toBe("a purple vase on the grass");
  const kept = await firstName(page);
  await page.reload();
  await page.locator("#results [data-tile]").first().waitFor();
  expect(await firstName(page)).toBe(kept);
  expect(await page.inputValue("#words")).toBe("a purple vase on the grass");
  await page.context().close();
});

test("a chosen picture and words, then on from a hit, and back", async () => {
  const page = await stage.open();
  await answered(page, () => page.setInputFiles(FILE_INPUT, ARMCHAIR));
  await say(page, "in red");
  expect(await firstName(page)).toContain("armchair-boxy-red");
  await answered(page, () => page.getByRole("button", { name: "From here" }).first().click());
  expect(new URL(page.url()).searchParams.get("like")).toBeTruthy();
  expect(await page.inputValue("#words")).toBe("");
  await answered(page, () => page.getByRole("button", { name: "Back a step" }).click());
  expect(await page.inputValue("#words")).toBe("in red");
  await page.context().close();
});

test("a picture is dropped, and a part of it is used", async () => {
  const page = await stage.open();
  const data = readFileSync(ARMCHAIR).toString("base64");
  const dropped = await page.evaluateHandle((base64) => {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "chair.jpg", { type: "image/jpeg" }));
    return transfer;
  }, data);
  await answered(page, () => page.dispatchEvent("fieldset.references", "drop", { dataTransfer: dropped }));
  await page.getByRole("button", { name: "Use a part of it" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Right edge").fill("0.5");
  stage.sent.splice(0);
  await answered(page, () => dialog.getByRole("button", { name: "Use this part" }).click());
  const [search] = stage.sent.filter(({ path }) => path === "/v1/search");
  expect(search!.body.toString("latin1")).toContain('"width":50');
  expect(await page.getByRole("button", { name: "Change the part" }).count()).toBe(1);
  await page.context().close();
});

test("negatives, filters and order are part of the question", async () => {
  const page = await stage.open();
  await say(page, "a lamp");
  await page.getByPlaceholder("e.g. people").fill("stripes");
  await answered(page, () => page.getByPlaceholder("e.g. people").press("Enter"));
  await page.getByRole("button", { name: "Filter" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Column").selectOption("colour");
  await dialog.getByLabel("Value").fill("green");
  await answered(page, () => dialog.getByRole("button", { name: "Search" }).click());
  const found = await names(page);
  expect(found.length).toBeGreaterThan(3);
  expect(found.every((name) => name.includes("green"))).toBe(true);
  const address = new URL(page.url()).searchParams;
  expect([address.get("not"), address.get("where")]).toEqual(["stripes", '["colour","=","green"]']);
  await page.context().close();
});

test("less like this moves such pictures down", async () => {
  const page = await stage.open();
  await say(page, "something to sit on");
  const before = await firstName(page);
  await answered(page, () => page.getByRole("button", { name: "Less like this" }).first().click());
  expect(await firstName(page)).not.toBe(before);
  await page.context().close();
});

test("the details tell of a picture, its neighbours and why it matched", async () => {
  const page = await stage.open();
  await say(page, "a green teapot on the grass");
  await page.locator("#results [data-tile]").first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("256 × 256").waitFor();
  await dialog.getByRole("region", { name: "Pictures like this one" }).waitFor();
  await dialog.getByRole("region", { name: "Why it matched" }).waitFor();
  await page.keyboard.press("Escape");
  expect(await dialog.count()).toBe(0);
  await page.context().close();
});

test("everything can be done from the keyboard", async () => {
  const page = await stage.open();
  await page.keyboard.press("/");
  await page.keyboard.type("a red mug");
  await answered(page, () => page.keyboard.press("Enter"));
  await page.locator("#results [data-tile]").first().focus();
  await page.keyboard.press("ArrowRight");
  const second = await page.evaluate(() => document.activeElement!.ariaLabel);
  await page.keyboard.press("x");
  expect(await page.getByText("1 selected").count()).toBe(1);
  await page.keyboard.press("Enter");
  expect(`Open ${await page.getByRole("dialog").getByRole("heading", { level: 2 }).textContent()}`).toBe(second);
  await page.keyboard.press("Escape");
  await answered(page, () => page.keyboard.press("s"));
  await answered(page, () => page.keyboard.press("u"));
  expect(await page.inputValue("#words")).toBe("a red mug");
  await page.context().close();
});

test("encoded in the browser, no pixel leaves, and the same pictures are found", async () => {
  const page = await stage.open();
  await answered(page, () => page.setInputFiles(FILE_INPUT, ARMCHAIR));
  await page.getByTestId("side").selectOption("browser");
  await page.getByText(/^Ready/).waitFor({ timeout: 60_000 });
  stage.sent.splice(0);
  await say(page, "in red");
  const sent = stage.sent.filter(({ body }) => body.length > 0);
  expect(sent.map(({ path }) => path)).toEqual(["/v1/search"]);
  expect(sent[0]!.body.length).toBeLessThan(4_000);
  expect(sent[0]!.body.includes("CIRQ")).toBe(true);
  expect(sent[0]!.body.includes(Buffer.from([0xff, 0xd8, 0xff]))).toBe(false); // a JPEG's first bytes
  expect(await page.getByText(/bytes left this device/).count()).toBe(1);
  const found = (await names(page)).slice(0, 10);
  expect(found.some((name) => name.includes("armchair-boxy-red"))).toBe(true);
  await page.context().close();
});

test("a file that is no picture is refused, and a lost server is said", async () => {
  const page = await stage.open();
  await page.setInputFiles(FILE_INPUT, { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no") });
  await page.getByText("notes.txt is not a picture that this page can read.").waitFor();
  await page.route("**/v1/search", (route) => route.abort());
  await page.fill("#words", "a lamp");
  await page.press("#words", "Enter");
  await page.getByText("The server does not answer. Is it still running?").waitFor();
  await page.unroute("**/v1/search");
  await answered(page, () => page.getByRole("button", { name: "Try again" }).click());
  expect(await page.getByText("The server does not answer.").count()).toBe(0);
  stage.problems.splice(0); // the console tells of the request that this test broke
  await page.context().close();
});

test.each(["light", "dark"] as const)("nothing is amiss for assistive technology, %s", async (colorScheme) => {
  const page = await stage.open({ colorScheme, bypassCSP: true }); // axe is put into the page
  expect(await faults(page)).toEqual([]);
  await say(page, "a blue chair");
  expect(await faults(page)).toEqual([]);
  await page.locator("#results [data-tile]").first().click();
  await page.getByRole("region", { name: "Pictures like this one" }).waitFor();
  expect(await faults(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Filter" }).click();
  expect(await faults(page)).toEqual([]);
  await page.context().close();
});

test("it fits a phone", async () => {
  const page = await stage.open({ viewport: { width: 360, height: 740 }, hasTouch: true });
  await answered(page, () => page.setInputFiles(FILE_INPUT, join(PICTURES, "mug-round-red-ceramic-wooden-table-three-quarter.jpg")));
  await say(page, "in blue");
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(width).toBeLessThanOrEqual(360);
  await page.context().close();
});

test("the page stays within its budget", async () => {
  const page = await stage.open();
  const fetched = await page.evaluate(() =>
    performance.getEntriesByType("resource").map((entry) => {
      const { encodedBodySize: bytes, name } = entry as PerformanceResourceTiming;
      return { bytes, path: new URL(name).pathname };
    }),
  );
  const sum = (ending: RegExp): number => fetched.filter(({ path }) => ending.test(path)).reduce((all, { bytes }) => all + bytes, 0);
  expect(sum(/\.js$/)).toBeGreaterThan(0);
  expect(sum(/\.js$/)).toBeLessThan(120 * 1024);
  expect(sum(/\.(css|svg)$/)).toBeLessThan(20 * 1024);
  expect(sum(/^\/v1\/(model|gallery|images|jobs)$/)).toBeLessThan(100 * 1024);
  expect(sum(/thumbnail$/)).toBeLessThan(600 * 1024);
  expect(fetched.filter(({ path }) => !path.endsWith("thumbnail")).length).toBeLessThan(12); // requests
  const external = await page.evaluate(() =>
    performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith(location.origin)).length,
  );
  expect(external).toBe(0);
  await page.context().close();
});
