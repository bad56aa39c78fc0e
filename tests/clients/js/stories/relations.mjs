// What relates to what: edits, reactions, references, threads, polls, and a past full of them.

import { assert, sdk, texts } from "./stage.mjs";

const { PollStartEvent } = await import("matrix-js-sdk/lib/extensible_events_v1/PollStartEvent.js");
const { PollResponseEvent } = await import("matrix-js-sdk/lib/extensible_events_v1/PollResponseEvent.js");
const { PollEndEvent } = await import("matrix-js-sdk/lib/extensible_events_v1/PollEndEvent.js");

function edited(event, text) {
    return { "m.new_content": { msgtype: "m.text", body: text }, "m.relates_to": { rel_type: "m.replace", event_id: event } };
}

function inThread(root) {
    return { "m.relates_to": { rel_type: "m.thread", event_id: root } };
}

async function together(stage, sliding, names = ["alice", "bob"]) {
    const [first, ...others] = await Promise.all(names.map((name) => stage.arrive(name, { sliding })));
    const { room_id: room } = await first.client.createRoom({ preset: "private_chat", invite: others.map((each) => each.userId) });
    await Promise.all(others.map(async (each) => (await each.becomes(room, "invite")) && each.join(room)));
    await first.becomes(room, "join");
    return { room, people: [first, ...others] };
}

// Alice edits twice and takes the newest edit back; Bob reacts, and changes his mind; Carol comes later and sees the same.
export async function edits_and_reactions(stage, { sliding }) {
    const { room, people } = await together(stage, sliding);
    const [alice, bob] = people;
    const said = await alice.says(room, "frist");
    await alice.says(room, "* first", edited(said, "first"));
    const second = await alice.says(room, "* the very first", edited(said, "the very first"));
    const shown = await bob.finds(room, said, (event) => event.getContent().body === "the very first");
    assert.equal(shown.replacingEventId(), second);
    await alice.client.redactEvent(room, second);
    await bob.finds(room, said, (event) => event.getContent().body === "first");
    // Nobody edits what another wrote, on any client.
    await bob.says(room, "* last", edited(said, "last"));

    const react = (who, key) =>
        who.client.sendEvent(room, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id: said, key } });
    const { event_id: regretted } = await react(bob, "\u{1f44e}");
    await stage.refused("M_DUPLICATE_ANNOTATION", react(bob, "\u{1f44e}"));
    const unsent = bob.room(room).getLiveTimeline().getEvents().find((each) => each.status === sdk.EventStatus.NOT_SENT);
    bob.client.cancelPendingEvent(unsent);
    await react(bob, "\u{1f54a}");
    await react(alice, "\u{1f54a}");
    await bob.client.redactEvent(room, regretted);
    const reactions = (who) => {
        const relations = who.room(room).relations.getChildEventsForEvent(said, "m.annotation", "m.reaction");
        const found = relations?.getSortedAnnotationsByKey()?.filter(([, events]) => events.size);
        return found?.map(([key, events]) => `${key} ${events.size}`).join(", ");
    };
    for (const who of people) await who.until("the reactions", () => reactions(who) === "\u{1f54a} 2");

    const pointing = { msgtype: "m.text", body: "see there", "m.relates_to": { rel_type: "m.reference", event_id: said } };
    const { event_id: reference } = await bob.client.sendEvent(room, "m.room.message", pointing);
    const { events } = await alice.client.relations(room, said, "m.reference", "m.room.message");
    assert.deepEqual(events.map((each) => each.getId()), [reference]);
    const { events: replacing, originalEvent } = await alice.client.relations(room, said, "m.replace", null);
    assert.deepEqual(texts(replacing).slice(0, 1), ["* first"]);
    assert.equal(originalEvent.getId(), said);

    const carol = await stage.arrive("carol", { sliding });
    await alice.client.invite(room, carol.userId);
    await carol.becomes(room, "invite");
    await carol.join(room);
    while (await carol.client.paginateEventTimeline(carol.room(room).getLiveTimeline(), { backwards: true, limit: 4 }));
    const late = await carol.finds(room, said);
    assert.equal(late.getContent().body, "first");
    assert.equal(reactions(carol), "\u{1f54a} 2");
}

// A thread grows while Bob is in it; Carol, who comes later, finds it in the list, and reads it page by page.
export async function threads(stage, { sliding }) {
    const { room, people } = await together(stage, sliding);
    const [alice, bob] = people;
    const root = await alice.says(room, "what shall we have for dinner?");
    await bob.says(room, "corn", inThread(root));
    const other = await bob.says(room, "who sings tonight?");
    await alice.says(room, "the wren", inThread(other));
    // The SDK counts wrongly what it hears while it asks for a thread, so it is given the time to follow.
    const follows = (id, count) => bob.until(`${count} in ${id}`, () => {
        const thread = bob.room(room).getThread(id);
        return thread?.initialEventsFetched && thread.length === count;
    });
    await follows(root, 1);
    await follows(other, 1);
    const replies = Array.from({ length: 24 }, (_, number) => `idea ${number}`);
    for (const [number, text] of replies.entries()) {
        await alice.says(room, text, inThread(root));
        await follows(root, number + 2);
    }
    await bob.until("the last word", () => bob.room(room).getThread(root).replyToEvent.getContent().body === "idea 23");
    assert.ok(bob.room(room).getThread(root).hasCurrentUserParticipated);

    if (!sliding) {
        // What is unread is told per thread, and read per thread.
        const unread = (thread, count) =>
            bob.until(`${count} unread`, () => bob.room(room).getThreadUnreadNotificationCount(thread) === count);
        await unread(root, 24);
        await unread(other, 1);
        const last = bob.room(room).getThread(root).lastReply();
        await bob.client.sendReadReceipt(last);
        await unread(root, 0);
        await unread(other, 1);
        assert.equal(bob.room(room).getRoomUnreadNotificationCount(), 0);
        await alice.until("the receipt", () => alice.room(room).getThread(root).getEventReadUpTo(bob.userId) === last.getId());
        // A receipt without a thread reads them all.
        await bob.client.sendReadReceipt(bob.room(room).getThread(root).lastReply(), undefined, true);
        await unread(other, 0);
    }

    const carol = await stage.arrive("carol", { sliding });
    await alice.client.invite(room, carol.userId);
    await carol.becomes(room, "invite");
    await carol.join(room);
    await carol.room(room).createThreadsTimelineSets();
    await carol.room(room).fetchRoomThreads();
    const found = carol.room(room).getThreads();
    assert.deepEqual(found.map((each) => each.id).sort(), [root, other].sort());
    const thread = carol.room(room).getThread(root);
    await carol.until("the thread", () => thread.initialEventsFetched && thread.length === 25);
    while (await carol.client.paginateEventTimeline(thread.liveTimeline, { backwards: true, limit: 5 }));
    assert.deepEqual(texts(thread.events), ["what shall we have for dinner?", "corn", ...replies]);
    assert.ok(!thread.hasCurrentUserParticipated);
    // The list of the threads in which she took part has one that she has spoken in.
    await carol.says(room, "berries", inThread(other));
    const mine = await carol.client.createThreadListMessagesRequest(room, null, 10, "b", 0);
    assert.deepEqual(mine.chunk.map((each) => each.event_id), [other]);
    assert.equal(mine.chunk[0].unsigned["m.relations"]["m.thread"].count, 2);

    // An edit and a reaction within a thread; then its last word is taken back.
    const wren = thread.lastReply();
    await alice.says(room, "* idea of the day", edited(wren.getId(), "idea of the day"));
    await bob.until("the edit", () => bob.room(room).getThread(root).lastReply().getContent().body === "idea of the day");
    await alice.client.redactEvent(room, wren.getId());
    await bob.until("nothing of it", () => bob.room(room).findEventById(wren.getId()).isRedacted());
    // The SDK's own count may still be that of a root which it had asked for before.
    const all = await bob.client.createThreadListMessagesRequest(room, null, 10, "b", 1);
    const listed = all.chunk.find((each) => each.event_id === root);
    assert.equal(listed.unsigned["m.relations"]["m.thread"].count, 24);
}

// Whoever is mentioned in a thread follows it, until they say otherwise.
export async function thread_subscriptions(stage) {
    const { room, people } = await together(stage, false);
    const [alice, bob] = people;
    const root = await alice.says(room, "who flies south?");
    const reply = await alice.says(room, "not I", inThread(root));
    await bob.hears(room, "who flies south?");
    const path = `/rooms/${encodeURIComponent(room)}/thread/${encodeURIComponent(root)}/subscription`;
    const ask = (method, body) => bob.asks(method, "unstable/io.element.msc4306", path, undefined, body);
    await stage.refused("M_NOT_FOUND", ask("GET"));
    await ask("PUT", { automatic: reply });
    assert.deepEqual(await ask("GET"), { automatic: true });
    await ask("PUT", {});
    assert.deepEqual(await ask("GET"), { automatic: false });
    await ask("DELETE");
    await stage.refused("M_NOT_FOUND", ask("GET"));
    await stage.refused("IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION", ask("PUT", { automatic: reply }));
}

// A poll: everybody votes, Bob changes his mind, Alice counts and ends it; Carol comes later and counts the same.
// (By sliding sync the client does not look for polls.)
export async function polls(stage) {
    const { room, people } = await together(stage, false);
    const [alice, bob] = people;
    const start = PollStartEvent.from("where to?", ["north", "south"], "m.poll.disclosed").serialize();
    const { event_id: asked } = await alice.client.sendEvent(room, start.type, start.content);
    const { answers } = (await bob.until("the poll", () => bob.room(room).polls.get(asked))).pollEvent;
    const vote = async (who, place) => {
        const response = PollResponseEvent.from([answers[place].id], asked).serialize();
        return (await who.client.sendEvent(room, response.type, response.content)).event_id;
    };
    await vote(alice, 1);
    await vote(bob, 0);
    const changed = await vote(bob, 1);
    const votes = async (who) => {
        const poll = await who.until("the poll", () => who.room(room).polls.get(asked));
        const responses = (await poll.getResponses()).getRelations();
        const newest = new Map();
        for (const each of responses.sort((one, other) => one.getTs() - other.getTs())) newest.set(each.getSender(), each);
        return [...newest.values()].map((each) => each.getContent()["org.matrix.msc3381.poll.response"]?.answers[0]);
    };
    await alice.finds(room, changed);
    await alice.until("both votes", async () => (await votes(alice)).every((each) => each === answers[1].id));
    const end = PollEndEvent.from(asked, "south it is").serialize();
    await alice.client.sendEvent(room, end.type, end.content);
    await bob.until("the end", () => bob.room(room).polls.get(asked).isEnded);

    const carol = await stage.arrive("carol");
    await alice.client.invite(room, carol.userId);
    await carol.becomes(room, "invite");
    await carol.join(room);
    while (await carol.client.paginateEventTimeline(carol.room(room).getLiveTimeline(), { backwards: true, limit: 3 }));
    assert.deepEqual(await votes(carol), [answers[1].id, answers[1].id]);
    await carol.until("the end", () => carol.room(room).polls.get(asked).isEnded);
}
