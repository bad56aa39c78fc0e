// Who comes into a room, who is sent away, who wants to hear nothing of whom, and where a room moves.

import { assert } from "./stage.mjs";

async function arrive(stage, names, sliding = false) {
    return Promise.all(names.map((name) => stage.arrive(name, { sliding })));
}

// Waits until somebody's client shows a member as this.
async function sees(who, room, userId, membership) {
    return who.until(`${userId} ${membership}`, () => {
        const member = who.room(room)?.getMember(userId);
        return member?.membership === membership && member;
    });
}

function joinRule(content) {
    return [{ type: "m.room.join_rules", state_key: "", content }];
}

// Bob knocks and is let in, Carol knocks and is not.
export async function knocks(stage, { sliding }) {
    const [alice, bob, carol] = await arrive(stage, ["alice", "bob", "carol"], sliding);
    const { room_id: room } = await alice.client.createRoom({ name: "Loft", initial_state: joinRule({ join_rule: "knock" }) });
    await stage.refused("M_FORBIDDEN", bob.client.joinRoom(room));
    await bob.client.knockRoom(room, { reason: "it is raining" });
    await carol.client.knockRoom(room, { reason: "me too" });
    const member = await sees(alice, room, bob.userId, "knock");
    assert.equal(member.events.member.getContent().reason, "it is raining");
    if (!sliding) {
        const seen = await bob.becomes(room, "knock");
        assert.equal(seen.name, "Loft");
    }
    await alice.client.invite(room, bob.userId);
    await bob.becomes(room, "invite");
    await bob.join(room);
    await sees(alice, room, bob.userId, "join");
    await sees(alice, room, carol.userId, "knock");
    await alice.client.kick(room, carol.userId, "no room");
    await sees(bob, room, carol.userId, "leave");
    if (!sliding) await carol.becomes(room, "leave");
    await stage.refused("M_FORBIDDEN", carol.client.joinRoom(room));
}

// Who is in the space comes into the room; who is not does not, nor who has left it.
export async function restricted(stage) {
    const [alice, bob, carol] = await arrive(stage, ["alice", "bob", "carol"]);
    const { room_id: space } = await alice.client.createRoom({ preset: "public_chat", creation_content: { type: "m.space" } });
    const allow = [{ type: "m.room_membership", room_id: space }];
    const { room_id: room } = await alice.client.createRoom({ initial_state: joinRule({ join_rule: "restricted", allow }) });
    await alice.client.sendStateEvent(space, "m.space.child", { via: [alice.client.getDomain()] }, room);
    await stage.refused("M_FORBIDDEN", bob.client.joinRoom(room));
    await bob.join(space);
    assert.equal((await bob.client.getRoomSummary(room)).join_rule, "restricted");
    await bob.join(room);
    const member = await sees(alice, room, bob.userId, "join");
    assert.equal(member.events.member.getContent().join_authorised_via_users_server, alice.userId);
    await carol.join(space);
    await carol.client.leave(space);
    await carol.becomes(space, "leave");
    await stage.refused("M_FORBIDDEN", carol.client.joinRoom(room));
}

// Kicked, banned, let in again: what the client of who is sent away shows, and what that of who stays.
export async function kicks_and_bans(stage, { sliding }) {
    const [alice, bob] = await arrive(stage, ["alice", "bob"], sliding);
    const { room_id: room } = await alice.client.createRoom({ preset: "public_chat", name: "Yard" });
    await bob.join(room);
    await alice.says(room, "before");
    await bob.hears(room, "before");
    await stage.refused("M_FORBIDDEN", bob.client.kick(room, alice.userId, "mine!"));
    await alice.client.kick(room, bob.userId, "out");
    const gone = await bob.becomes(room, "leave");
    const told = gone.getMember(bob.userId).events.member;
    assert.deepEqual([told.getSender(), told.getContent().reason], [alice.userId, "out"]);
    const unseen = await alice.says(room, "behind his back");
    await stage.refused("M_FORBIDDEN", bob.says(room, "still here"));
    await assert.rejects(bob.client.fetchRoomEvent(room, unseen));
    stage.foresee(/^GET \/rooms\/!\/event\//);
    await bob.join(room);
    await alice.client.ban(room, bob.userId, "for good");
    await bob.becomes(room, "ban");
    await sees(alice, room, bob.userId, "ban");
    await stage.refused("M_FORBIDDEN", bob.client.joinRoom(room));
    await stage.refused("M_FORBIDDEN", alice.client.invite(room, bob.userId));
    await alice.client.unban(room, bob.userId);
    await sees(alice, room, bob.userId, "leave");
    await bob.join(room);
    await alice.says(room, "welcome back");
    await bob.hears(room, "welcome back");
}

// Bob blocks invites, ignores Alice, and later hears her again; he leaves and forgets.
export async function blocked_and_ignored(stage) {
    const [alice, bob, carol] = await arrive(stage, ["alice", "bob", "carol"]);
    await bob.client.setAccountData("m.invite_permission_config", { default_action: "block" });
    const { room_id: room } = await alice.client.createRoom({ preset: "public_chat" });
    await stage.refused("M_INVITE_BLOCKED", alice.client.invite(room, bob.userId));
    await bob.client.setAccountData("m.invite_permission_config", {});
    await alice.client.invite(room, bob.userId);
    await bob.becomes(room, "invite");
    await bob.join(room);
    await carol.join(room);

    await bob.client.setIgnoredUsers([alice.userId]);
    await bob.until("Alice is ignored", () => bob.client.isUserIgnored(alice.userId));
    const unheard = await alice.says(room, "can you hear me?");
    await carol.says(room, "I can");
    await bob.hears(room, "I can");
    assert.equal(bob.room(room).findEventById(unheard), undefined);
    const { room_id: lure } = await alice.client.createRoom({ preset: "private_chat", invite: [bob.userId] });
    const { room_id: other } = await carol.client.createRoom({ preset: "private_chat", invite: [bob.userId] });
    await bob.becomes(other, "invite");
    assert.equal(bob.room(lure), null);
    await bob.client.setIgnoredUsers([]);
    await bob.until("Alice is not ignored", () => !bob.client.isUserIgnored(alice.userId));
    await alice.says(room, "and now?");
    await bob.hears(room, "and now?");

    // Declined, left, and forgotten.
    await bob.client.leave(other);
    await bob.becomes(other, "leave");
    await bob.client.forget(other);
    await bob.client.leave(room);
    await bob.becomes(room, "leave");
    const last = await bob.client.createMessagesRequest(room, null, 5, "b");
    assert.ok(last.chunk.some((each) => each.content.body === "and now?"));
    await bob.client.forget(room);
    assert.equal(bob.room(room), null);
    await stage.refused("M_FORBIDDEN", bob.client.createMessagesRequest(room, null, 5, "b"));
    const left = await bob.client.syncLeftRooms();
    assert.ok(!left.some((each) => each.roomId === room));
    // Who comes again sees the room again.
    await bob.join(room);
    await alice.says(room, "there you are");
    await bob.hears(room, "there you are");
}

// An event, a room and a person are reported; an event that cannot be seen cannot be, and of no room nothing is told.
export async function reports(stage) {
    const [alice, bob] = await arrive(stage, ["alice", "bob"]);
    const { room_id: room } = await alice.client.createRoom({ preset: "public_chat" });
    await bob.join(room);
    const said = await alice.says(room, "buy my seed");
    await bob.client.reportEvent(room, said, -100, "advertising");
    await bob.client.reportRoom(room, "nothing but advertising");
    await bob.asks("POST", "v3", `/users/${encodeURIComponent(alice.userId)}/report`, undefined, { reason: "advertises" });
    const { room_id: dark } = await alice.client.createRoom({ preset: "private_chat" });
    const hidden = await alice.says(dark, "secret");
    await stage.refused("M_NOT_FOUND", bob.client.reportEvent(dark, hidden, -100, "?"));
    await bob.client.reportRoom(`!none-${stage.mark}:${bob.client.getDomain()}`, "?");
}

// A room moves to a new version with its name, its members' rights and their rules; both clients follow.
export async function upgrade(stage, { sliding }) {
    const [alice, bob, carol] = await arrive(stage, ["alice", "bob", "carol"], sliding);
    const alias = `moving-${stage.mark}`;
    const { room_id: old } = await alice.client.createRoom({
        preset: "public_chat",
        name: "Moving",
        topic: "boxes",
        room_alias_name: alias,
        room_version: "9",
    });
    await bob.join(old);
    await carol.join(old);
    await alice.client.setPowerLevel(old, bob.userId, 50);
    await bob.client.setRoomTag(old, "m.favourite", { order: 0.5 });
    await stage.refused("M_UNSUPPORTED_ROOM_VERSION", alice.client.upgradeRoom(old, "bread"));
    const { replacement_room: next } = await alice.client.upgradeRoom(old, "12");
    const tombstone = await bob.until("the tombstone", () =>
        bob.room(old).currentState.getStateEvents("m.room.tombstone", ""),
    );
    assert.equal(tombstone.getContent().replacement_room, next);
    await bob.join(next, { viaServers: [bob.client.getDomain()] });
    const room = await bob.until("the name", () => bob.room(next)?.name === "Moving" && bob.room(next));
    assert.equal(room.getVersion(), "12");
    assert.equal(room.findPredecessor().roomId, old);
    assert.equal(room.currentState.getStateEvents("m.room.topic", "").getContent().topic, "boxes");
    await bob.until("the power", () => bob.room(next).getMember(bob.userId)?.powerLevel === 50);
    assert.deepEqual(bob.client.getRoomUpgradeHistory(next, true).map((each) => each.roomId), [old, next]);
    const domain = bob.client.getDomain();
    assert.equal((await bob.client.getRoomIdForAlias(`#${alias}:${domain}`)).room_id, next);
    if (!sliding) await bob.until("the tag", () => bob.room(next).tags["m.favourite"]?.order === 0.5);
    await stage.refused("M_FORBIDDEN", carol.says(old, "anybody left?"));
    await bob.says(next, "we are all here");
    await alice.hears(next, "we are all here");
}

// State that is not of Matrix, such as of widgets: set, replaced, emptied; owned by who is named in it.
export async function state_of_others(stage, { sliding }) {
    const [alice, bob] = await arrive(stage, ["alice", "bob"], sliding);
    const { room_id: room } = await alice.client.createRoom({ preset: "public_chat" });
    await bob.join(room);
    const type = "im.vector.modular.widgets";
    const shows = (who, key, holds) =>
        who.until(`the state ${key}: ${holds}`, () => holds(who.room(room).currentState.getStateEvents(type, key)?.getContent()));
    await alice.client.sendStateEvent(room, type, { url: "https://clock.example/", name: "Clock" }, "clock");
    await shows(bob, "clock", (content) => content?.name === "Clock");
    await alice.client.sendStateEvent(room, type, { url: "https://clock.example/", name: "Watch" }, "clock");
    await shows(bob, "clock", (content) => content?.name === "Watch");
    assert.equal((await bob.client.getStateEvent(room, type, "clock")).name, "Watch");
    await alice.client.sendStateEvent(room, type, {}, "clock");
    await shows(bob, "clock", (content) => content && Object.keys(content).length === 0);
    await stage.refused("M_FORBIDDEN", bob.client.sendStateEvent(room, type, {}, "clock"));
    await alice.client.sendStateEvent(room, type, { mine: true }, alice.userId);
    await stage.refused("M_FORBIDDEN", alice.client.sendStateEvent(room, type, { mine: false }, bob.userId));
    await stage.refused("M_NOT_FOUND", bob.client.getStateEvent(room, type, "none"));
    await shows(bob, alice.userId, (content) => content?.mine === true);
}
