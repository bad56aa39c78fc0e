// People with matrix-js-sdk and its Rust crypto, who do what they are told: one JSON object per line on the standard
// input ({id, who, act, ...}), one per answer on the standard output ({id, result} or {id, error}).
// Their stores are in memory, and stay while this process lives: who stops and starts again goes on with them.

import "fake-indexeddb/auto";
import readline from "node:readline";

const answerTo = process.stdout.write.bind(process.stdout);
for (const level of ["log", "info", "debug", "trace"]) {
    console[level] = console.error; // the standard output is for answers
}

const sdk = await import("matrix-js-sdk");
const { logger } = await import("matrix-js-sdk/lib/logger.js");
logger.setLevel("warn", false);

const people = new Map();

class Person {
    constructor(client, store) {
        this.client = client;
        this.store = store;
        this.heard = [];
        this.waiting = new Set();
        client.on(sdk.RoomEvent.Timeline, (event) => this.hear(event));
        client.on(sdk.MatrixEventEvent.Decrypted, (event) => this.hear(event));
        for (const name of [sdk.ClientEvent.Sync, sdk.RoomEvent.MyMembership, sdk.RoomStateEvent.Events]) {
            client.on(name, () => this.wake());
        }
    }

    hear(event) {
        if (event.getType() === "m.room.message" && event.getId()?.startsWith("$")) {
            this.heard.push({
                room: event.getRoomId(),
                sender: event.getSender(),
                text: event.getContent().body,
                encrypted: event.isEncrypted(),
            });
        }
        this.wake();
    }

    wake() {
        for (const look of [...this.waiting]) look();
    }

    // What `find` returns, as soon as it is not undefined or false.
    until(find) {
        return new Promise((resolve, reject) => {
            const look = () => {
                try {
                    const found = find();
                    if (found === undefined || found === false) return;
                    this.waiting.delete(look);
                    resolve(found);
                } catch (problem) {
                    this.waiting.delete(look);
                    reject(problem);
                }
            };
            this.waiting.add(look);
            look();
        });
    }

    isSyncing() {
        const state = this.client.getSyncState();
        return state === sdk.SyncState.Syncing || state === sdk.SyncState.Prepared;
    }
}

const acts = {
    async register({ url, username, password }) {
        const client = sdk.createClient({ baseUrl: url });
        let session;
        try {
            await client.registerRequest({ username, password });
        } catch (refused) {
            session = refused.data?.session;
            if (session === undefined) throw refused;
        }
        const auth = { type: "m.login.dummy", session };
        return client.registerRequest({ username, password, auth });
    },

    async start({ who, url, credentials }) {
        const store = new sdk.IndexedDBStore({ indexedDB: globalThis.indexedDB, dbName: who });
        const client = sdk.createClient({
            baseUrl: url,
            userId: credentials.user_id,
            deviceId: credentials.device_id,
            accessToken: credentials.access_token,
            store,
        });
        await store.startup();
        const since = await store.getSavedSyncToken();
        await client.initRustCrypto({ cryptoDatabasePrefix: `crypto-${who}` });
        const person = new Person(client, store);
        people.set(who, person);
        await client.startClient({ lazyLoadMembers: true, pollTimeout: 20000 });
        // Prepared is also what comes out of the store; Syncing comes from the server.
        await person.until(() => client.getSyncState() === sdk.SyncState.Syncing);
        return { since };
    },

    async stop({ who }) {
        const { client, store } = people.get(who);
        await store.save(true);
        client.stopClient();
        people.delete(who);
        return { since: await store.getSavedSyncToken() };
    },

    async reconnect({ who }) {
        const person = people.get(who);
        person.client.retryImmediately();
        await person.until(() => person.isSyncing());
        return {};
    },

    async createRoom({ who, invite }) {
        const algorithm = "m.megolm.v1.aes-sha2";
        return people.get(who).client.createRoom({
            invite,
            initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm } }],
        });
    },

    async join({ who, room }) {
        const person = people.get(who);
        await person.until(() => person.client.getRoom(room)?.getMyMembership() === "invite");
        await person.client.joinRoom(room);
        await person.until(() => person.client.getRoom(room)?.getMyMembership() === "join");
        return {};
    },

    // Wait until `who` knows that `other` is in the encrypted room; how many devices the other has.
    async meet({ who, room, other }) {
        const person = people.get(who);
        await person.until(() => person.client.getRoom(room)?.getMember(other)?.membership === "join");
        const crypto = person.client.getCrypto();
        if (!(await crypto.isEncryptionEnabledInRoom(room))) throw new Error("the room is not encrypted");
        const devices = await crypto.getUserDeviceInfo([other], true);
        return { devices: devices.get(other)?.size ?? 0 };
    },

    async say({ who, room, text }) {
        return people.get(who).client.sendTextMessage(room, text);
    },

    async hear({ who, room, text }) {
        const person = people.get(who);
        return person.until(() => person.heard.find((each) => each.room === room && each.text === text));
    },
};

async function answer(line) {
    const order = JSON.parse(line);
    let reply;
    try {
        reply = { id: order.id, result: await acts[order.act](order) };
    } catch (problem) {
        reply = { id: order.id, error: String(problem?.stack ?? problem) };
    }
    answerTo(JSON.stringify(reply) + "\n");
}

readline
    .createInterface({ input: process.stdin })
    .on("line", (line) => void answer(line))
    .on("close", () => process.exit(0));
answerTo(JSON.stringify({ id: 0, result: { version: process.version } }) + "\n");
