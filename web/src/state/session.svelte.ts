/** The page's state: one question, its answer, and the trail of those before. */

import { SvelteSet } from "svelte/reactivity";
import { ApiError, type About, type Answer, type Api, type Asked, type Hit, type Job, type Sent } from "../api/api";
import { Encoder } from "../encode/encoder";
import { text } from "../text";
import { fromAddress, toAddress } from "./address";
import { EMPTY, filterOf, isAsked, startingFrom, withReference, type OwnReference, type Question, type Reference } from "./query";
import { canRedo, canUndo, NO_TRAIL, stepped, wentTo, type Trail } from "./trail";

export const PAGE = 60;
const GOOD = 0.5; // confidence from which "only good matches" lets hits through

export type Status = "start" | "searching" | "answered" | "failed";
export type EncoderState = "none" | "loading" | "ready" | "failed";

export class Session {
  readonly api: Api;
  about = $state.raw<About | null>(null);
  question = $state.raw<Question>(EMPTY);
  trail = $state.raw<Trail>(NO_TRAIL);
  answer = $state.raw<Answer | null>(null);
  hits = $state.raw<readonly Hit[]>([]);
  status = $state<Status>("start");
  error = $state.raw<ApiError | null>(null);
  milliseconds = $state(0);
  selected = new SvelteSet<string>();
  side = $state<"browser" | "server">("server");
  encoderState = $state<EncoderState>("none");
  threads = $state(0);
  sent = $state(0);
  job = $state.raw<Job | null>(null);
  #encoder: Encoder | null = null;
  #last: Asked | null = null;
  #abort: AbortController | null = null;

  constructor(api: Api) {
    this.api = api;
  }

  /** Load what is there, and take up the question of the address. */
  async open(): Promise<void> {
    try {
      this.about = await this.api.about();
      this.error = null;
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.takeUp(fromAddress(location.search));
  }

  /** Show the question of an address, e.g. after going back. */
  takeUp(question: Question): void {
    this.question = question;
    if (isAsked(question)) void this.#search(question, false);
    else this.#clearAnswer();
  }

  /** Change the question without asking it yet. */
  change(question: Question): void {
    this.question = question;
  }

  /** Ask a question: a new step of the trail and of the browser's history. */
  ask(question: Question = this.question): void {
    this.question = question;
    if (isAsked(question)) void this.#search(question, true);
    else this.startOver();
  }

  searchFrom(id: string): void {
    this.ask(startingFrom(this.question, id));
  }

  moreLike(id: string): void {
    const unlike = this.question.unlike.filter((known) => known !== id);
    this.ask({ ...withReference(this.question, { kind: "stored", id }), unlike });
  }

  lessLike(id: string): void {
    if (this.question.unlike.includes(id)) return;
    const references = this.question.references.filter(
      (known) => known.kind !== "stored" || known.id !== id,
    );
    this.ask({ ...this.question, references, unlike: [...this.question.unlike, id] });
  }

  startOver(): void {
    history.pushState(null, "", location.pathname);
    this.trail = NO_TRAIL;
    this.question = EMPTY;
    this.#clearAnswer();
  }

  get canUndo(): boolean {
    return canUndo(this.trail);
  }

  get canRedo(): boolean {
    return canRedo(this.trail);
  }

  /** Go to a step of the trail. */
  go(at: number): void {
    const trail = wentTo(this.trail, at);
    const question = trail.steps[trail.at];
    if (!question) return;
    this.trail = trail;
    this.question = question;
    history.replaceState(null, "", toAddress(question) || location.pathname);
    void this.#search(question, false);
  }

  async more(): Promise<void> {
    const { answer } = this;
    if (!answer?.next || !this.#last) return;
    try {
      const next = await this.api.more(this.#last, answer.next);
      if (this.answer !== answer) return; // another question was asked meanwhile
      this.answer = next;
      this.hits = [...this.hits, ...next.hits];
    } catch (error) {
      this.#fail(error);
    }
  }

  explain(id: string): ReturnType<Api["explain"]> {
    return this.#last ? this.api.explain(this.#last, id) : Promise.resolve([]);
  }

  /** Where pictures of this device are read from now on. */
  async setSide(side: "browser" | "server"): Promise<void> {
    this.side = side;
    if (side === "browser") await this.#openEncoder();
  }

  own(file: Blob, name: string): OwnReference {
    const url = URL.createObjectURL(file);
    return { kind: "own", key: crypto.randomUUID(), name, url, file, crop: null };
  }

  /** Try again what failed. */
  retry(): void {
    if (this.about) void this.#search(this.question, false);
    else void this.open();
  }

  followJobs(): () => void {
    return this.api.follow((job) => (this.job = job));
  }

  async #search(question: Question, isStep: boolean): Promise<void> {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.status = "searching";
    if (isStep) this.#step(question);
    try {
      const begun = performance.now();
      const asked = await this.#asked(question);
      const answer = await this.api.search(asked, abort.signal);
      if (abort.signal.aborted) return;
      this.milliseconds = performance.now() - begun;
      this.#last = asked;
      this.#show(answer);
    } catch (error) {
      if (!abort.signal.aborted) this.#fail(error);
    } finally {
      this.sent = this.api.sent;
    }
  }

  #step(question: Question): void {
    this.trail = stepped(this.trail, question);
    history.pushState(null, "", toAddress(question) || location.pathname);
  }

  #show(answer: Answer): void {
    this.answer = answer;
    this.hits = answer.hits;
    this.error = null;
    this.status = "answered";
  }

  #clearAnswer(): void {
    this.#abort?.abort();
    this.answer = null;
    this.hits = [];
    this.error = null;
    this.status = "start";
  }

  async #asked(question: Question): Promise<Asked> {
    return {
      references: await Promise.all(question.references.map((known) => this.#sent(known, question))),
      text: question.text.trim(),
      negatives: question.negatives,
      unlike: question.unlike,
      balance: question.balance,
      filter: filterOf(question.conditions),
      sort: question.sort,
      minConfidence: question.relevantOnly ? GOOD : null,
      k: PAGE,
    };
  }

  async #sent(reference: Reference, question: Question): Promise<Sent> {
    if (reference.kind === "stored") return reference;
    const { file, name, crop } = reference;
    if (this.side === "server") return { kind: "upload", file, name, crop };
    if (question.references.length > 1) throw new ApiError("one-in-browser", text.side.onlyOne);
    const encoder = await this.#openEncoder();
    const look = await encoder.look(file, crop);
    const duration = look.milliseconds;
    performance.measure("encode", { start: performance.now() - duration, duration });
    const bytes = encoder.message(look, question.text.trim(), question.negatives);
    return { kind: "message", bytes };
  }

  async #openEncoder(): Promise<Encoder> {
    const side = this.about?.querySide;
    if (!side) throw new ApiError("no-query-side", text.side.unavailable);
    try {
      if (!this.#encoder) {
        this.encoderState = "loading";
        const folder = new URL("./runtime/", document.baseURI).href;
        const graph = new URL(side.graph, document.baseURI).href;
        this.#encoder = new Encoder(side.card, graph, { folder, isPacked: false });
      }
      this.threads = await this.#encoder.ready;
      this.encoderState = "ready";
      return this.#encoder;
    } catch (error) {
      this.encoderState = "failed";
      this.#encoder = null;
      throw new ApiError("encoder", `${text.side.failed} ${(error as Error).message}`);
    }
  }

  #fail(error: unknown): void {
    const known = error instanceof ApiError;
    this.error = known ? error : new ApiError("unknown", (error as Error).message);
    this.status = "failed";
  }
}
