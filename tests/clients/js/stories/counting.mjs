// What is unread, and what counts: messages, mentions, keywords, rooms that are muted or marked, the notifications.

import { assert, sdk, texts } from "./stage.mjs";

const { EventTimelineSet } = await import("matrix-js-sdk/lib/models/event-timeline-set.js");

async function together(stage, sliding) {
    const [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((name) => stage.arrive(name, { sliding })));
    const others = [bob, carol];
    const { room_id: room } = await alice.client.createRoom({ preset: "private_chat", invite: others.map((each) => each.userId) });
    await Promise.all(others.map(async (each) => (await each.becomes(room, "invite")) && each.join(room)));
    return { room, alice, bob, carol };
}

// How many are unread in a room, and how many of them call for somebody.
async function counts(who, room, total, highlight) {
    await who.until(`${total} unread, ${highlight} of them highlighted`, () => {
        const [all, loud] = ["total", "highlight"].map((kind) => who.room(room).getUnreadNotificationCount(kind));
        return (all ?? 0) === total && (loud ?? 0) === highlight;
    });
}

// Every message is counted as the client's own evaluation of the push rules says.
function agrees(who, room, since) {
    const events = who.room(room).getLiveTimeline().getEvents();
    const unread = events.slice(events.findIndex((each) => each.getId() === since) + 1).filter((each) => each.getSender() !== who.userId);
    const actions = unread.map((each) => who.client.getPushActionsForEvent(each, true));
    const total = actions.filter((each) => each.notify).length;
    const highlight = actions.filter((each) => each.notify && each.tweaks.highlight).length;
    assert.equal(who.room(room).getUnreadNotificationCount("total"), total);
    assert.equal(who.room(room).getUnreadNotificationCount("highlight"), highlight);
}

async function rules(who, holds) {
    await who.until("the push rules", () => who.client.pushRules && holds(who.client.pushRules.global));
}

// Alice calls Bob by name, everybody, and a word that Bob listens to; Bob reads, and mutes the room.
export async function unread_and_highlights(stage, { sliding }) {
    const { room, alice, bob, carol } = await together(stage, sliding);
    const first = await alice.says(room, "good morning");
    await bob.hears(room, "good morning");
    await bob.client.sendReadReceipt(await bob.finds(room, first));
    await counts(bob, room, 0, 0);

    const said = await alice.says(room, "anybody here?");
    await counts(bob, room, 1, 0);
    await alice.says(room, "you there?", { "m.mentions": { user_ids: [bob.userId] } });
    await counts(bob, room, 2, 1);
    await alice.says(room, "all of you!", { "m.mentions": { room: true } });
    await counts(bob, room, 3, 2);
    await counts(carol, room, 4, 1);
    // Carol may not call everybody.
    await carol.says(room, "me too!", { "m.mentions": { room: true } });
    await counts(bob, room, 4, 2);
    // Neither a reaction nor an edit nor a notice of somebody else counts.
    await carol.client.sendEvent(room, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id: said, key: "+" } });
    await alice.says(room, "* nobody?", {
        "m.new_content": { msgtype: "m.text", body: "nobody?" },
        "m.relates_to": { rel_type: "m.replace", event_id: said },
    });
    await alice.says(room, "a bot speaks", { msgtype: "m.notice" });

    // A word that Bob listens to.
    await bob.client.addPushRule("global", "content", "Seed", { pattern: "seed", actions: ["notify", { set_tweak: "highlight" }] });
    await rules(bob, ({ content }) => content.some((each) => each.rule_id === "Seed"));
    await alice.says(room, "there is SEED in the yard");
    await alice.says(room, "seedlings are something else");
    await counts(bob, room, 6, 3);
    agrees(bob, room, first);
    await bob.client.setPushRuleEnabled("global", "content", "Seed", false);
    await rules(bob, ({ content }) => content.some((each) => each.rule_id === "Seed" && !each.enabled));
    await alice.says(room, "seed again");
    await counts(bob, room, 7, 3);
    await bob.client.deletePushRule("global", "content", "Seed");
    await stage.refused("M_NOT_FOUND", bob.client.deletePushRule("global", "content", "Seed"));

    // Bob reads in private: his own count goes, and nobody learns of it.
    const last = await bob.hears(room, "seed again");
    await bob.client.sendReadReceipt(last, "m.read.private");
    await counts(bob, room, 0, 0);
    await bob.client.sendTyping(room, true, 30_000);
    await alice.until("Bob types", () => alice.room(room).getMember(bob.userId)?.typing);
    assert.equal(alice.room(room).getEventReadUpTo(bob.userId), first);

    // A room that is muted counts nothing, and afterwards goes on.
    await bob.client.setRoomMutePushRule("global", room, true);
    await rules(bob, ({ room: muted }) => muted.some((each) => each.rule_id === room));
    await alice.says(room, "into the void");
    await bob.hears(room, "into the void");
    await bob.client.setRoomMutePushRule("global", room, false);
    await rules(bob, ({ room: muted }) => !muted.some((each) => each.rule_id === room));
    await alice.says(room, "back again");
    await counts(bob, room, 1, 0);

    // Marked as unread on one device is marked on the other.
    const tablet = await stage.login(bob);
    await tablet.start({ sliding });
    await bob.client.setRoomAccountData(room, "m.marked_unread", { unread: true });
    await tablet.until("the mark", () => tablet.room(room)?.getAccountData("m.marked_unread")?.getContent().unread === true);
    await counts(tablet, room, 1, 0);
}

// The list of notifications goes back page by page, also only of those that were loud, and says what was read.
export async function notifications(stage) {
    const { room, alice, bob } = await together(stage, false);
    const called = Array.from({ length: 7 }, (_, number) => `Bob, ${number}`);
    for (const text of called) {
        await alice.says(room, text, { "m.mentions": { user_ids: [bob.userId] } });
        await alice.says(room, `not Bob: ${text}`);
    }
    await bob.client.sendReadReceipt(await bob.hears(room, called[3]));
    const set = new EventTimelineSet(undefined, { timelineSupport: true });
    bob.client.setNotifTimelineSet(set);
    set.getLiveTimeline().setPaginationToken("", "b");
    while (await bob.client.paginateEventTimeline(set.getLiveTimeline(), { backwards: true, limit: 3 }));
    assert.deepEqual(texts(set.getLiveTimeline().getEvents()), called);

    const read = new Map();
    let from;
    do {
        const page = await bob.asks("GET", "v3", "/notifications", { limit: "5", ...(from && { from }) });
        for (const each of page.notifications) read.set(each.event.content.body, each.read);
        from = page.next_token;
    } while (from);
    assert.equal([...read].filter(([text]) => text?.includes("Bob, ")).length, 14);
    for (const text of called) assert.equal(read.get(text), text <= called[3], text);
}

// A rule goes before another, changes what it does, and a rule of the server can be turned off but not deleted.
export async function push_rules(stage) {
    const bob = await stage.arrive("bob");
    const own = (rules) => rules.override.filter((each) => !each.default).map((each) => each.rule_id);
    const rule = { actions: [], conditions: [{ kind: "event_match", key: "content.body", pattern: "*spam*" }] };
    await bob.client.addPushRule("global", "override", "one", rule);
    await bob.client.addPushRule("global", "override", "two", rule);
    await bob.asks("PUT", "v3", "/pushrules/global/override/three", { after: "two" }, rule);
    await rules(bob, (now) => own(now).join() === "two,three,one");
    await bob.client.setPushRuleActions("global", "override", "one", ["notify", { set_tweak: "sound", value: "default" }]);
    await rules(bob, ({ override }) => override.find((each) => each.rule_id === "one").actions[0] === "notify");
    await bob.client.setPushRuleEnabled("global", "override", ".m.rule.master", true);
    await rules(bob, ({ override }) => override.find((each) => each.rule_id === ".m.rule.master").enabled);
    const fetched = await bob.client.getPushRules();
    assert.deepEqual(own(fetched.global), ["two", "three", "one"]);
    await stage.refused("M_NOT_FOUND", bob.client.setPushRuleEnabled("global", "override", ".m.rule.none", true));
    await stage.refused("M_INVALID_PARAM", bob.client.addPushRule("global", "override", ".mine", rule));
    await assert.rejects(bob.client.deletePushRule("global", "override", ".m.rule.master"));
    stage.foresee(/^DELETE \/pushrules/);
    assert.ok(sdk.PushRuleKind.Override in fetched.global);
}
