// Encryption with Rust crypto: devices that verify each other, a device that waits while all others are away, keys that
// are handed on or held back, devices that go.

import { PASSWORD, assert, sdk } from "./stage.mjs";

const { CryptoEvent } = await import("matrix-js-sdk/lib/crypto-api/index.js");
const { VerificationPhase, VerifierEvent } = await import("matrix-js-sdk/lib/crypto-api/verification.js");

const IS_ENCRYPTED = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };

function byPassword(who) {
    return { type: "m.login.password", identifier: { type: "m.id.user", user: who.userId }, password: PASSWORD };
}

// Make cross-signing keys, secret storage that holds them, and a backup of the keys of rooms.
async function protect(who) {
    const crypto = who.client.getCrypto();
    const recovery = await crypto.createRecoveryKeyFromPassphrase();
    who.keys.set("any", recovery.privateKey);
    await crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => recovery,
        setupNewSecretStorage: true,
        setupNewKeyBackup: true,
    });
    await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: async (request) => request(byPassword(who)) });
    assert.ok(await crypto.isCrossSigningReady());
    assert.ok(await crypto.isSecretStorageReady());
}

async function together(stage, names = ["alice", "bob"]) {
    const [alice, ...others] = await Promise.all(names.map((name) => stage.arrive(name, { crypto: true })));
    const { room_id: room } = await alice.client.createRoom({
        preset: "private_chat",
        invite: others.map((each) => each.userId),
        initial_state: [IS_ENCRYPTED],
    });
    await Promise.all(others.map(async (each) => (await each.becomes(room, "invite")) && each.join(room)));
    const people = [alice, ...others];
    for (const one of people) for (const other of people) await meets(one, room, other);
    return { room, people };
}

// One knows that the other is in the encrypted room, and the other's device.
async function meets(one, room, other) {
    await one.until(`${other.name} in the room`, () => one.room(room)?.getMember(other.userId)?.membership === "join");
    await one.until("that the room is encrypted", () => one.client.getCrypto().isEncryptionEnabledInRoom(room));
    await one.until(`the device of ${other.name}`, async () => {
        const devices = await one.client.getCrypto().getUserDeviceInfo([other.userId], true);
        return devices.get(other.userId)?.has(other.client.getDeviceId());
    });
}

async function says(who, room, text) {
    return (await who.client.sendTextMessage(room, text)).event_id;
}

// A message with this text, which came encrypted.
async function reads(who, room, text) {
    const event = await who.hears(room, text);
    assert.ok(event.isEncrypted(), text);
    return event;
}

async function phase(who, request, wanted) {
    await who.until(`the phase ${wanted}`, () => request.phase >= wanted);
}

async function confirms(who, verifier) {
    const shown = new Promise((resolve) => verifier.once(VerifierEvent.ShowSas, resolve));
    const finished = verifier.verify();
    const { sas, confirm } = await shown;
    await confirm();
    await finished;
    return sas.emoji.map(([symbol]) => symbol).join("");
}

// A second device is verified by comparing emoji with the first, which hands it all secrets: it reads what was before it.
export async function second_device(stage, { sliding }) {
    const { room, people } = await together(stage);
    const [alice, bob] = people;
    await protect(alice);
    await says(bob, room, "of old");
    await reads(alice, room, "of old");
    await alice.until("the backup", async () => (await alice.client.http.authedRequest("GET", "/room_keys/version")).count >= 1);

    const phone = await stage.login(alice);
    await phone.start({ crypto: true, sliding });
    await phone.client.getCrypto().userHasCrossSigningKeys(alice.userId, true);
    await meets(alice, room, phone);
    const arrived = new Promise((resolve) => alice.client.once(CryptoEvent.VerificationRequestReceived, resolve));
    const asking = await phone.client.getCrypto().requestOwnUserVerification();
    const asked = await arrived;
    await asked.accept();
    await phase(phone, asking, VerificationPhase.Ready);
    const own = await asking.startVerification("m.sas.v1");
    await phase(alice, asked, VerificationPhase.Started);
    const shown = await Promise.all([confirms(phone, own), confirms(alice, asked.verifier)]);
    assert.equal(shown[0], shown[1]);
    await phone.until("the secrets", () => phone.client.getCrypto().isCrossSigningReady());
    await phone.until("the key of the backup", async () => (await phone.client.getCrypto().getSessionBackupPrivateKey()) !== null);
    const status = await bob.until("the device signed by its user", async () => {
        await bob.client.getCrypto().getUserDeviceInfo([alice.userId], true);
        const found = await bob.client.getCrypto().getDeviceVerificationStatus(alice.userId, phone.client.getDeviceId());
        return found?.signedByOwner && found;
    });
    assert.ok(status);
    await phone.becomes(room, "join");
    await phone.client.getCrypto().restoreKeyBackup();
    await reads(phone, room, "of old");
    await says(phone, room, "from the phone");
    await reads(bob, room, "from the phone");
    await reads(alice, room, "from the phone");
}

// While all devices of Alice are away, one that lies on the server takes the keys; a new one takes them over from it.
export async function dehydrated_device(stage) {
    const { room, people } = await together(stage);
    const [alice, bob] = people;
    await protect(alice);
    assert.ok(await alice.client.getCrypto().isDehydrationSupported());
    await alice.client.getCrypto().startDehydration();
    const lying = await alice.client.http.authedRequest("GET", "/dehydrated_device", undefined, undefined, {
        prefix: "/_matrix/client/unstable/org.matrix.msc3814.v1",
    });
    await bob.until("the device that lies there", async () => {
        const devices = await bob.client.getCrypto().getUserDeviceInfo([alice.userId], true);
        return devices.get(alice.userId)?.get(lying.device_id)?.dehydrated;
    });
    await alice.client.logout(true);
    stage.foresee(/ 401 M_UNKNOWN_TOKEN$/);
    await bob.until("Alice's device gone", async () => {
        const devices = await bob.client.getCrypto().getUserDeviceInfo([alice.userId], true);
        return devices.get(alice.userId).size === 1;
    });
    await says(bob, room, "while you were out");
    await says(bob, room, "and once more");

    const next = await stage.login(alice);
    next.keys.set("any", alice.keys.get("any"));
    await next.start({ crypto: true });
    const crypto = next.client.getCrypto();
    await crypto.userHasCrossSigningKeys(alice.userId, true);
    await crypto.bootstrapCrossSigning({});
    const taken = new Promise((resolve) => next.client.once(CryptoEvent.RehydrationCompleted, resolve));
    await crypto.startDehydration();
    await taken;
    await reads(next, room, "while you were out");
    await reads(next, room, "and once more");
    const { device_id } = await next.client.http.authedRequest("GET", "/dehydrated_device", undefined, undefined, {
        prefix: "/_matrix/client/unstable/org.matrix.msc3814.v1",
    });
    assert.notEqual(device_id, lying.device_id);
}

// Keys held back from a device that is not verified; keys handed on in a file; what goes straight to a device.
export async function withheld_and_handed_on(stage) {
    const { room, people } = await together(stage, ["alice", "bob", "carol"]);
    const [alice, bob, carol] = people;
    await says(alice, room, "for all");
    for (const who of [bob, carol]) await reads(who, room, "for all");
    alice.client.getCrypto().globalBlacklistUnverifiedDevices = true;
    await alice.client.getCrypto().setDeviceVerified(bob.userId, bob.client.getDeviceId(), true);
    await alice.client.getCrypto().forceDiscardSession(room);
    const secret = await says(alice, room, "for Bob alone");
    await reads(bob, room, "for Bob alone");
    const withheld = await carol.finds(room, secret, (event) => event.isDecryptionFailure());
    await carol.until("why", () => withheld.decryptionFailureReason?.startsWith("MEGOLM_KEY_WITHHELD"));
    // Bob hands his keys on.
    const keys = await bob.client.getCrypto().exportRoomKeysAsJson();
    await carol.client.getCrypto().importRoomKeysAsJson(keys);
    await reads(carol, room, "for Bob alone");

    // A message from device to device, encrypted, to both others at once.
    const got = [bob, carol].map(
        (who) => new Promise((resolve) => who.client.on(sdk.ClientEvent.ReceivedToDeviceMessage, (each) => each.message.type === "org.example.nod" && resolve(each))),
    );
    alice.client.getCrypto().globalBlacklistUnverifiedDevices = false;
    const devices = [bob, carol].map((who) => ({ userId: who.userId, deviceId: who.client.getDeviceId() }));
    await alice.client.encryptAndSendToDevice("org.example.nod", devices, { deep: true });
    for (const { message, encryptionInfo } of await Promise.all(got)) {
        assert.equal(message.content.deep, true);
        assert.equal(encryptionInfo.sender, alice.userId);
    }
}

// A device that is removed is seen to be gone, and gets no more keys; who leaves the room neither.
export async function devices_that_go(stage) {
    const { room, people } = await together(stage, ["alice", "bob", "carol"]);
    const [alice, bob, carol] = people;
    const tablet = await stage.login(bob);
    await tablet.start({ crypto: true });
    await meets(alice, room, tablet);
    await meets(tablet, room, alice);
    await says(alice, room, "to both devices");
    await reads(tablet, room, "to both devices");
    await reads(bob, room, "to both devices");
    await bob.client.deleteDevice(tablet.client.getDeviceId(), byPassword(bob));
    await alice.until("one device less", async () => {
        const devices = await alice.client.getCrypto().getUserDeviceInfo([bob.userId], true);
        return !devices.get(bob.userId).has(tablet.client.getDeviceId());
    });
    await tablet.until("to be logged out", () => tablet.client.getSyncState() === sdk.SyncState.Error);
    stage.foresee(/ 401 M_UNKNOWN_TOKEN$/, /^POST \/user\/@\/devices/, /^DELETE \/devices\/[^/]+ 401 /);
    await carol.client.leave(room);
    await alice.until("Carol gone", () => alice.room(room).getMember(carol.userId).membership === "leave");
    const after = await says(alice, room, "without Carol");
    await reads(bob, room, "without Carol");
    await carol.client.joinRoom(room).catch(() => undefined);
    stage.foresee(/^POST \/join\/! 403 M_FORBIDDEN$/);
    await alice.client.invite(room, carol.userId);
    await carol.becomes(room, "invite");
    await carol.join(room);
    await meets(alice, room, carol);
    await says(alice, room, "with Carol");
    await reads(carol, room, "with Carol");
    const unread = await carol.finds(room, after, (event) => event.isDecryptionFailure());
    assert.ok(unread.isDecryptionFailure());
}
