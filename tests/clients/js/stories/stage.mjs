// What all stories stand on: people with matrix-js-sdk on one server, waiting for what their clients show, and a record
// of everything that the server refused. Stories are the other files of this folder; play.mjs plays them.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

import { Order } from "../order.mjs";
import { decryptAll, windowed } from "../sliding.mjs";

const sdk = await import("matrix-js-sdk");

export { assert, sdk };
export const PASSWORD = "correct horse battery staple";
const PATIENCE_MS = 30_000;
const LOOK_AGAIN_MS = 25;

// What clients ask for without knowing whether it is there.
const IS_NO_FAULT = [
    /^GET \/user\/@\/account_data\/[^/]+ 404 /,
    /^GET \/room_keys\/version 404 /,
    /^POST \/keys\/device_signing\/upload 401 /, // asks for the password, then comes again
    /^GET \/dehydrated_device 404 /,
];

// A method and a path without what differs from run to run.
function named(method, address) {
    const path = new URL(address).pathname.replace(/^\/_matrix\/client\/(v\d|unstable(\/[a-z_.]+\.msc\d+(\.v\d)?)?)/, "");
    const parts = path.split("/").map((part) => {
        const decoded = decodeURIComponent(part);
        return /^[!$@#]/.test(decoded) ? decoded[0] : decoded;
    });
    return `${method} ${parts.join("/")}`;
}

// The people of one story. Their names differ from those of every other story on the same server.
export class Stage {
    constructor(url) {
        this.url = url;
        this.mark = randomBytes(4).toString("hex");
        this.refusals = [];
        this.people = [];
    }

    // Remember each refusal of the server.
    fetch = async (address, details = {}) => {
        const response = await fetch(address, details);
        if (response.status >= 400) {
            const { errcode = "none" } = await response
                .clone()
                .json()
                .catch(() => ({}));
            this.refusals.push(`${named(details.method ?? "GET", String(address))} ${response.status} ${errcode}`);
        }
        return response;
    };

    client(options = {}) {
        return sdk.createClient({ baseUrl: this.url, fetchFn: this.fetch, timelineSupport: true, ...options });
    }

    // Somebody new, who does not follow anything yet.
    async register(name, more = {}) {
        const client = this.client();
        const username = `${name}-${this.mark}`;
        const auth = { type: "m.login.dummy" };
        const credentials = await client.registerRequest({ username, password: PASSWORD, auth, ...more });
        return this.person(name, credentials);
    }

    // Another device of somebody.
    async login(somebody, more = {}) {
        const identifier = { type: "m.id.user", user: somebody.userId };
        const client = this.client();
        const credentials = await client.loginRequest({ type: "m.login.password", identifier, password: PASSWORD, ...more });
        return this.person(somebody.name, credentials);
    }

    person(name, credentials, options = {}) {
        const keys = new Map(); // to secret storage
        const client = this.client({
            userId: credentials.user_id,
            deviceId: credentials.device_id,
            accessToken: credentials.access_token,
            refreshToken: credentials.refresh_token,
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys: wanted }) => {
                    const id = Object.keys(wanted).find((each) => keys.has(each)) ?? Object.keys(wanted)[0];
                    return [id, keys.get(id) ?? keys.get("any")];
                },
                cacheSecretStorageKey: (id, _, key) => keys.set(id, key),
            },
            ...options,
        });
        const somebody = new Person(name, client, credentials, keys);
        client.http.opts.fetchFn = async (...request) => {
            somebody.checkIsOnline();
            const response = await this.fetch(...request);
            somebody.checkIsOnline();
            return response;
        };
        this.people.push(somebody);
        return somebody;
    }

    // Somebody new who follows their rooms: all of them, or with `sliding` a window of them.
    async arrive(name, { sliding = false, crypto = false, ...more } = {}) {
        const somebody = await this.register(name);
        await somebody.start({ sliding, crypto, ...more });
        return somebody;
    }

    // A refusal that the story is about: of this errcode.
    async refused(errcode, promise) {
        const problem = await promise.then(
            (answer) => assert.fail(`not refused: ${JSON.stringify(answer)}`),
            (error) => error,
        );
        assert.equal(problem.errcode, errcode, String(problem?.stack ?? problem));
        const place = this.refusals.findLastIndex((each) => each.endsWith(` ${problem.httpStatus} ${errcode}`));
        this.refusals.splice(place, 1);
        return problem;
    }

    // A refusal that the story brings about, and does not wait for.
    foresee(...patterns) {
        this.refusals = this.refusals.filter((each) => !patterns.some((pattern) => pattern.test(each)));
    }

    close() {
        for (const { client } of this.people) client.stopClient();
    }

    // What was refused and should not have been.
    get complaints() {
        return this.refusals.filter((each) => !IS_NO_FAULT.some((pattern) => pattern.test(each)));
    }
}

// Somebody with one device.
export class Person {
    constructor(name, client, credentials, keys) {
        this.name = name;
        this.client = client;
        this.credentials = credentials;
        this.keys = keys;
        this.userId = credentials.user_id;
        this.isOnline = true;
    }

    // Who is not online neither asks anything nor hears what was answered.
    checkIsOnline() {
        if (!this.isOnline) throw new TypeError("fetch failed");
    }

    async start({ sliding = false, crypto = false, ...more } = {}) {
        if (crypto) {
            await this.client.initRustCrypto({ useIndexedDB: false });
            const order = new Order(this.client.http.opts.fetchFn);
            this.client.http.opts.fetchFn = order.fetch;
            order.follow(this.client);
            decryptAll(this.client);
        }
        const manner = sliding
            ? { slidingSync: windowed(this.client, 10) }
            : { lazyLoadMembers: true, initialSyncLimit: 10 };
        await this.client.startClient({ pollTimeout: 20_000, threadSupport: true, ...manner, ...more });
        await this.until("the first sync", () => this.client.getSyncState() === sdk.SyncState.Syncing);
    }

    // What `find` returns, as soon as it is neither undefined, null nor false.
    async until(what, find) {
        const end = Date.now() + PATIENCE_MS;
        for (;;) {
            const found = await find();
            if (found !== undefined && found !== null && found !== false) return found;
            if (Date.now() > end) throw new Error(`${this.name} waited in vain: ${what}\n${this.sees()}`);
            await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
        }
    }

    // The rooms of the client with their last events, for whoever looks for a fault.
    sees() {
        const lines = this.client.getRooms().map((room) => {
            const events = room.getLiveTimeline().getEvents().slice(-8);
            const told = events.map((each) => `${each.getType()} ${JSON.stringify(each.getContent()).slice(0, 150)}`);
            return [`${room.roomId} ${room.getMyMembership()}`, ...told].join("\n    ");
        });
        return lines.join("\n");
    }

    room(roomId) {
        return this.client.getRoom(roomId);
    }

    async becomes(roomId, membership) {
        return this.until(`${membership} in ${roomId}`, () => {
            const room = this.room(roomId);
            return room?.getMyMembership() === membership && room;
        });
    }

    async join(roomId, options = {}) {
        await this.client.joinRoom(roomId, options);
        return this.becomes(roomId, "join");
    }

    // An event of a room, as soon as the client has it and `holds` of it.
    async finds(roomId, eventId, holds = () => true) {
        return this.until(`the event ${eventId}: ${holds}`, () => {
            const event = this.room(roomId)?.findEventById(eventId);
            return event && holds(event) && event;
        });
    }

    // A message with this text in a room.
    async hears(roomId, text) {
        return this.until(`the words ${text}`, () => {
            const events = this.room(roomId)?.getLiveTimeline().getEvents() ?? [];
            return events.find((each) => each.getType() === "m.room.message" && each.getContent().body === text);
        });
    }

    async says(roomId, text, more = {}) {
        const content = { msgtype: "m.text", body: text, ...more };
        // Of a thread's message the SDK throws if it comes by a sync before it is answered.
        const { event_id } = more["m.relates_to"]?.rel_type === "m.thread"
            ? await this.asks("PUT", "v3", `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${this.client.makeTxnId()}`, undefined, content)
            : await this.client.sendEvent(roomId, "m.room.message", content);
        return event_id;
    }

    // What the client does not know by a method of its own.
    async asks(method, prefix, path, query, body) {
        return this.client.http.authedRequest(method, path, query, body, { prefix: `/_matrix/client/${prefix}` });
    }
}

// The texts of messages, in their order.
export function texts(events) {
    return events.filter((each) => each.getType() === "m.room.message").map((each) => each.getContent().body);
}
