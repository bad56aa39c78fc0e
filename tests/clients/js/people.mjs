// People with matrix-js-sdk and its Rust crypto, who do what they are told: one JSON object per line on the standard
// input ({id, who, act, ...}), one per answer on the standard output ({id, result} or {id, error}).
// Their stores are in memory, and stay while this process lives: who stops and starts again goes on with them.

import "fake-indexeddb/auto";
import readline from "node:readline";

import { Order } from "./order.mjs";

const answerTo = process.stdout.write.bind(process.stdout);
for (const level of ["log", "info", "debug", "trace"]) {
    console[level] = console.error; // the standard output is for answers
}

process.on("unhandledRejection", (problem) => console.error("nobody caught", problem)); // a page would live on, too

const sdk = await import("matrix-js-sdk");
const { CryptoEvent } = await import("matrix-js-sdk/lib/crypto-api/index.js");
const { VerificationPhase, VerificationRequestEvent, VerifierEvent } = await import(
    "matrix-js-sdk/lib/crypto-api/verification.js"
);
const { decryptAll, windowed } = await import("./sliding.mjs");
const { logger } = await import("matrix-js-sdk/lib/logger.js");
logger.setLevel("warn", false);

const people = new Map();
const recoveryKeys = new Map(); // of secret storage, by user

class Person {
    constructor(client, store) {
        this.client = client;
        this.store = store;
        this.heard = [];
        this.waiting = new Set();
        client.on(sdk.RoomEvent.Timeline, (event) => this.hear(event));
        client.on(sdk.MatrixEventEvent.Decrypted, (event) => this.hear(event));
        decryptAll(client);
        const changes = [
            sdk.ClientEvent.Sync,
            sdk.RoomEvent.MyMembership,
            sdk.RoomEvent.Receipt,
            sdk.RoomEvent.Redaction,
            sdk.RoomEvent.UnreadNotifications,
            sdk.RoomStateEvent.Events,
            sdk.RoomMemberEvent.Typing,
            sdk.MatrixEventEvent.Replaced,
        ];
        for (const name of changes) {
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

function reached(request, phase) {
    return new Promise((resolve) => {
        const look = () => request.phase >= phase && resolve();
        request.on(VerificationRequestEvent.Change, look);
        look();
    });
}

// Confirm whatever is shown, when it is shown; what it was.
async function confirm(verifier) {
    const shown = new Promise((resolve) => verifier.once(VerifierEvent.ShowSas, resolve));
    const finished = verifier.verify();
    const { sas, confirm } = await shown;
    await confirm();
    await finished;
    return sas.emoji.map(([symbol]) => symbol).join("");
}

// Wait until a user is known to have been verified by that of the client.
async function becomesTrusted(client, user) {
    for (;;) {
        const change = new Promise((resolve) => client.once(CryptoEvent.UserTrustStatusChanged, resolve));
        if ((await client.getCrypto().getUserVerificationStatus(user)).isCrossSigningVerified()) return true;
        await change;
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

    async login({ url, username, password }) {
        const identifier = { type: "m.id.user", user: username };
        const client = sdk.createClient({ baseUrl: url });
        return client.loginRequest({ type: "m.login.password", identifier, password });
    },

    // With `sliding` the client follows a window of its rooms, not all of them.
    async start({ who, url, credentials, sliding = false }) {
        const store = new sdk.IndexedDBStore({ indexedDB: globalThis.indexedDB, dbName: who });
        const order = new Order(fetch);
        const client = sdk.createClient({
            baseUrl: url,
            fetchFn: order.fetch,
            userId: credentials.user_id,
            deviceId: credentials.device_id,
            accessToken: credentials.access_token,
            store,
            timelineSupport: true,
            cryptoCallbacks: { getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], recoveryKeys.get(credentials.user_id)] },
        });
        await store.startup();
        const since = await store.getSavedSyncToken();
        await client.initRustCrypto({ cryptoDatabasePrefix: `crypto-${who}` });
        order.follow(client);
        const person = new Person(client, store);
        people.set(who, person);
        const manner = sliding ? { slidingSync: windowed(client, 20) } : { lazyLoadMembers: true, initialSyncLimit: 20 };
        await client.startClient({ pollTimeout: 20000, threadSupport: true, ...manner });
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

    // Wait until `who` knows that `other` is in the encrypted room, and with devices; how many the other has.
    async meet({ who, room, other }) {
        const person = people.get(who);
        await person.until(() => person.client.getRoom(room)?.getMember(other)?.membership === "join");
        const crypto = person.client.getCrypto();
        if (!(await crypto.isEncryptionEnabledInRoom(room))) throw new Error("the room is not encrypted");
        for (;;) {
            const change = new Promise((resolve) => person.client.once(CryptoEvent.DevicesUpdated, resolve));
            const devices = await crypto.getUserDeviceInfo([other], true);
            if (devices.get(other)?.size) return { devices: devices.get(other).size };
            await change; // of somebody who has just come in, devices are being asked for
        }
    },

    async say({ who, room, text }) {
        return people.get(who).client.sendTextMessage(room, text);
    },

    // Make cross-signing keys, secret storage that holds them, and a backup of the keys of rooms.
    async protect({ who, password }) {
        const { client } = people.get(who);
        const crypto = client.getCrypto();
        const user = client.getUserId();
        const recovery = await crypto.createRecoveryKeyFromPassphrase();
        recoveryKeys.set(user, recovery.privateKey);
        await crypto.bootstrapSecretStorage({
            createSecretStorageKey: async () => recovery,
            setupNewSecretStorage: true,
            setupNewKeyBackup: true,
        });
        await crypto.bootstrapCrossSigning({
            authUploadDeviceSigningKeys: async (request) => {
                const identifier = { type: "m.id.user", user };
                return request({ type: "m.login.password", identifier, password });
            },
        });
        return { ready: await crypto.isCrossSigningReady(), version: (await crypto.getKeyBackupInfo()).version };
    },

    // Wait until the backup of `who` holds so many keys.
    async backedUp({ who, count }) {
        const { client } = people.get(who);
        for (;;) {
            const more = new Promise((resolve) => client.once(CryptoEvent.KeyBackupSessionsRemaining, resolve));
            // What getKeyBackupInfo() tells is what the client has kept of it.
            const info = await client.http.authedRequest("GET", "/room_keys/version");
            if (info.count >= count) return { count: info.count };
            await more;
        }
    },

    // Fetch on a new device what `protect` put on the server, and have the device signed by its user.
    async recover({ who }) {
        const { client } = people.get(who);
        const crypto = client.getCrypto();
        // Private keys can be imported only where the public ones are known.
        await crypto.userHasCrossSigningKeys(client.getUserId(), true);
        await crypto.bootstrapCrossSigning({});
        await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
        await crypto.checkKeyBackupAndEnable();
        const { total, imported } = await crypto.restoreKeyBackup();
        return { total, imported, ready: await crypto.isCrossSigningReady() };
    },

    // Wait until `who` holds a device to be signed by its user.
    async trusts({ who, user, device }) {
        const { client } = people.get(who);
        const crypto = client.getCrypto();
        for (;;) {
            const change = new Promise((resolve) => client.once(CryptoEvent.DevicesUpdated, resolve));
            await crypto.getUserDeviceInfo([user], true);
            const status = await crypto.getDeviceVerificationStatus(user, device);
            if (status?.signedByOwner) return { signedByOwner: true };
            await change;
        }
    },

    // Two people compare what their clients show, and sign each other's keys: what was shown, and whom each trusts now.
    async verifyEachOther({ who, other, room }) {
        const [asking, asked] = [people.get(who).client, people.get(other).client];
        for (const [client, user] of [
            [asking, asked.getUserId()],
            [asked, asking.getUserId()],
        ]) {
            // Else only devices would be signed.
            if (!(await client.getCrypto().userHasCrossSigningKeys(user, true))) throw new Error(`${user} has no keys`);
        }
        const arrived = new Promise((resolve) => asked.once(CryptoEvent.VerificationRequestReceived, resolve));
        const request = await asking.getCrypto().requestVerificationDM(asked.getUserId(), room);
        const received = await arrived;
        await received.accept();
        await reached(request, VerificationPhase.Ready);
        const own = await request.startVerification("m.sas.v1");
        await reached(received, VerificationPhase.Started);
        const shown = await Promise.all([confirm(own), confirm(received.verifier)]);
        return {
            shown,
            trusted: [await becomesTrusted(asking, asked.getUserId()), await becomesTrusted(asked, asking.getUserId())],
        };
    },

    // The rest is for rooms that are not encrypted.

    async createPlainRoom({ who, invite, name }) {
        return people.get(who).client.createRoom({ invite, name, preset: "private_chat" });
    },

    // Call a method of the client; what it returns has to be JSON.
    async call({ who, method, args }) {
        return (await people.get(who).client[method](...args)) ?? null;
    },

    // Scroll back to the beginning of the room: every message in its order.
    async scrollback({ who, room }) {
        const { client } = people.get(who);
        const shown = client.getRoom(room);
        const timeline = shown.getLiveTimeline();
        while (await client.paginateEventTimeline(timeline, { backwards: true, limit: 30 }));
        const events = timeline.getEvents();
        return { first: events[0].getType(), texts: events.filter((e) => e.getType() === "m.room.message").map((e) => e.getContent().body) };
    },

    async waitForText({ who, room, event, text }) {
        const person = people.get(who);
        const find = () => person.client.getRoom(room)?.findEventById(event);
        return person.until(() => find()?.getContent().body === text && { text });
    },

    async waitForReaction({ who, room, event }) {
        const person = people.get(who);
        const relations = () => person.client.getRoom(room)?.relations.getChildEventsForEvent(event, "m.annotation", "m.reaction");
        return person.until(() => relations()?.getSortedAnnotationsByKey()?.map(([key, events]) => [key, events.size]));
    },

    async waitForRedaction({ who, room, event }) {
        const person = people.get(who);
        return person.until(() => person.client.getRoom(room)?.findEventById(event)?.isRedacted() && { redacted: true });
    },

    async waitForReceipt({ who, room, user, event }) {
        const person = people.get(who);
        return person.until(() => person.client.getRoom(room)?.getEventReadUpTo(user) === event && { read: event });
    },

    async waitForUnread({ who, room, count }) {
        const person = people.get(who);
        return person.until(() => person.client.getRoom(room)?.getUnreadNotificationCount("total") === count && { count });
    },

    async waitForTyping({ who, room, user }) {
        const person = people.get(who);
        return person.until(() => person.client.getRoom(room)?.getMember(user)?.typing && { typing: true });
    },

    async waitForName({ who, room, user, name }) {
        const person = people.get(who);
        return person.until(() => person.client.getRoom(room)?.getMember(user)?.rawDisplayName === name && { name });
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
