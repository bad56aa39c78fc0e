// Calls: where they take place, who is in them, who has vanished from them, and the keys of those who are.

import { assert } from "./stage.mjs";

const SLOT = { application: "m.call", id: "ROOM" };
const FOCUS = { type: "livekit", livekit_service_url: "https://calls.example.org/livekit/jwt" };
const LEAVE_AFTER_MS = 1500;

async function together(stage, crypto) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((name) => stage.arrive(name, { crypto })));
    const { room_id: room } = await alice.client.createRoom({
        preset: "private_chat",
        invite: [bob.userId],
        power_level_content_override: { events: { "org.matrix.msc3401.call.member": 0 } },
        initial_state: crypto
            ? [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }]
            : [],
    });
    await bob.becomes(room, "invite");
    await bob.join(room);
    await alice.until("Bob", () => alice.room(room).getMember(bob.userId)?.membership === "join");
    return { alice, bob, room };
}

function session(who, room) {
    return who.client.matrixRTC.getRoomSession(who.room(room), SLOT);
}

async function inCall(who, room, others) {
    const expected = others.map((each) => `${each.userId}:${each.client.getDeviceId()}`).sort();
    let shown = [];
    await who.until(`in the call: ${expected}`, () => {
        shown = session(who, room).memberships.map((each) => `${each.userId}:${each.deviceId}`).sort();
        return shown.join() === expected.join();
    });
}

// What clients ask the server for before a call.
export async function servers_for_calls(stage) {
    const alice = await stage.arrive("alice");
    const turn = await alice.client.turnServer();
    assert.deepEqual(turn.uris, ["turn:turn.example.org:3478?transport=udp"]);
    assert.equal(turn.ttl, 3600);
    assert.match(turn.username, /^\d+:@alice/);
    assert.ok(turn.password.length > 20);
    assert.deepEqual(await alice.client._unstable_getRTCTransports(), [FOCUS]);
}

// Both join; Alice leaves; Bob's client goes away without a word, and the server says for him that he has left.
export async function who_is_in_a_call(stage) {
    const { alice, bob, room } = await together(stage, false);
    const stays = { delayedLeaveEventDelayMs: LEAVE_AFTER_MS, delayedLeaveEventRestartMs: 300, manageMediaKeys: false };
    session(alice, room).joinRoomSession([FOCUS], undefined, stays);
    await inCall(bob, room, [alice]);
    session(bob, room).joinRoomSession([FOCUS], undefined, stays);
    await inCall(alice, room, [alice, bob]);
    await inCall(bob, room, [alice, bob]);
    assert.equal(session(bob, room).getOldestMembership().userId, alice.userId);
    assert.deepEqual(session(bob, room).getFocusInUse(), FOCUS);

    // The delayed event is put off again and again: after longer than its delay both are still there.
    const joined = bob.room(room).currentState.getStateEvents("org.matrix.msc3401.call.member").map((each) => each.getTs());
    await bob.until("time has passed", () => Date.now() > Math.max(...joined) + LEAVE_AFTER_MS + 1000);
    await inCall(alice, room, [alice, bob]);

    assert.equal(await session(alice, room).leaveRoomSession(5000), true);
    await inCall(bob, room, [bob]);
    // Bob's line is dead: the server says for him that he has left. When he is back, his client says that he is there.
    bob.isOnline = false;
    await inCall(alice, room, []);
    bob.isOnline = true;
    bob.client.retryImmediately();
    await inCall(alice, room, [bob]);
    await inCall(bob, room, [bob]);
    stage.foresee(/^POST \/delayed_events\/.* 404 M_NOT_FOUND$/); // what would have said that he left had said so
    // He vanishes for good.
    bob.isOnline = false;
    await inCall(alice, room, []);
    const left = alice.room(room).currentState.getStateEvents("org.matrix.msc3401.call.member");
    assert.deepEqual(left.map((each) => each.getContent()), [{}, {}]);
    assert.deepEqual(left.map((each) => each.getSender()).sort(), [alice.userId, bob.userId].sort());
}

// Delayed events by hand: sent early, put off, taken back, and looked at.
export async function delayed_events(stage) {
    const { alice, bob, room } = await together(stage, false);
    const later = (text, delay) =>
        alice.client._unstable_sendDelayedEvent(room, { delay }, null, "m.room.message", { msgtype: "m.text", body: text });
    const { delay_id: early } = await later("early", 600_000);
    const { delay_id: never } = await later("never", 600_000);
    const { delay_id: soon } = await later("soon", 200);
    await bob.hears(room, "soon");
    await alice.client._unstable_restartScheduledDelayedEvent(early);
    await alice.client._unstable_sendScheduledDelayedEvent(early);
    await bob.hears(room, "early");
    await alice.client._unstable_cancelScheduledDelayedEvent(never);
    await stage.refused("M_NOT_FOUND", alice.client._unstable_restartScheduledDelayedEvent(soon));
    const sent = await alice.client._unstable_getDelayedEvent(soon);
    assert.equal(sent.event_id, (await bob.hears(room, "soon")).getId());
    const state = await alice.client._unstable_sendDelayedStateEvent(room, { delay: 100 }, "org.example.state", { set: "later" }, "x");
    assert.ok(state.delay_id);
    await bob.until("the state", () => bob.room(room).currentState.getStateEvents("org.example.state", "x")?.getContent().set);
}

// The keys by which those in the call hear each other go from device to device, encrypted.
export async function keys_of_a_call(stage) {
    const { alice, bob, room } = await together(stage, true);
    const keys = { manageMediaKeys: true, useKeyDelay: 100, makeKeyDelay: 100 };
    const heard = new Map([alice, bob].map((who) => [who, new Map()]));
    for (const who of [alice, bob]) {
        session(who, room).on("encryption_key_changed", (key, index, membership) =>
            heard.get(who).set(`${membership.userId}:${membership.deviceId}`, Buffer.from(key).toString("hex")),
        );
    }
    session(alice, room).joinRoomSession([FOCUS], undefined, keys);
    await inCall(bob, room, [alice]);
    session(bob, room).joinRoomSession([FOCUS], undefined, keys);
    await inCall(alice, room, [alice, bob]);
    const name = (who) => `${who.userId}:${who.client.getDeviceId()}`;
    for (const [one, other] of [[alice, bob], [bob, alice]]) {
        await one.until("the key of the other", () => heard.get(one).get(name(other)));
        await one.until("the same key", () => heard.get(one).get(name(other)) === heard.get(other).get(name(other)));
    }
    await session(alice, room).leaveRoomSession(5000);
    await session(bob, room).leaveRoomSession(5000);
}
