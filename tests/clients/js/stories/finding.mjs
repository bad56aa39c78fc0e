// Finding: what was said, people, rooms, what lies in a space, an event by its time, what two have in common.

import { assert, texts } from "./stage.mjs";

const { RoomHierarchy } = await import("matrix-js-sdk/lib/room-hierarchy.js");

// Words of several scripts, page by page, with what stands around them; nothing from rooms where the asker is not.
export async function search(stage) {
    const [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((name) => stage.arrive(name)));
    const { room_id: room } = await alice.client.createRoom({ preset: "private_chat", invite: [bob.userId], name: "Kitchen" });
    await bob.becomes(room, "invite");
    await bob.join(room);
    const { room_id: other } = await alice.client.createRoom({ preset: "private_chat", name: "Cellar" });
    const said = [];
    for (let number = 0; number < 12; number++) said.push(await alice.says(room, `dumplings for supper ${number}`));
    await alice.says(room, "我们明天在图书馆见面");
    await alice.says(room, "明日は図書館で会いましょう");
    await alice.says(room, "Grüße aus dem Café");
    await alice.says(other, "the secret of dumplings");
    await alice.client.setRoomTopic(room, "where dumplings are made");
    await alice.client.redactEvent(room, said[0]);
    await alice.says(room, "* soup", {
        "m.new_content": { msgtype: "m.text", body: "soup instead" },
        "m.relates_to": { rel_type: "m.replace", event_id: said[1] },
    });

    const found = (who, term, more = {}) => who.client.searchRoomEvents({ term, ...more });
    const bodies = (results) => results.results.map((each) => each.context.getEvent().getContent().body);
    let results = await found(bob, "Dumplings", { filter: { limit: 4, types: ["m.room.message"] } });
    while (results.next_batch) results = await bob.client.backPaginateRoomEventsSearch(results);
    const left = Array.from({ length: 10 }, (_, number) => `dumplings for supper ${11 - number}`);
    assert.deepEqual(bodies(results), left);
    assert.ok(results.highlights.some((each) => each.toLowerCase() === "dumplings"));
    const context = results.results[5].context.getTimeline();
    assert.ok(context.length > 1, "what stands around the event");
    assert.deepEqual(bodies(await found(bob, "图书馆")), ["我们明天在图书馆见面"]);
    assert.deepEqual(bodies(await found(bob, "図書館")), ["明日は図書館で会いましょう"]);
    assert.equal(bodies(await found(bob, "CAFÉ")).length, 1);
    assert.deepEqual(bodies(await found(bob, "instead")).length, 1);
    assert.deepEqual(bodies(await found(carol, "dumplings")), []);
    assert.equal(bodies(await found(alice, "secret", { filter: { rooms: [other] } })).length, 1);
    assert.deepEqual(bodies(await found(alice, "secret", { filter: { rooms: [room] } })), []);
    const topic = await alice.client.searchMessageText({ query: "dumplings", keys: ["content.topic"] });
    assert.equal(topic.search_categories.room_events.count, 1);
}

// Bob is found by name once he can be met; the rooms that two share are told to both.
export async function people(stage) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((name) => stage.arrive(name)));
    const name = `Zwölfter Bär ${stage.mark}`;
    await bob.client.setDisplayName(name);
    const found = async (term) => (await alice.client.searchUserDirectory({ term, limit: 5 })).results.map((each) => each.user_id);
    assert.deepEqual(await found(`zwölfter ${stage.mark}`), []);
    const { room_id: room } = await alice.client.createRoom({ preset: "public_chat" });
    await bob.join(room);
    await alice.until("Bob in the directory", async () => (await found(`zwölfter ${stage.mark}`)).includes(bob.userId));
    assert.deepEqual(await found(`bob-${stage.mark}`), [bob.userId]);
    assert.equal((await alice.client.getProfileInfo(bob.userId)).displayname, name);

    const { room_id: dark } = await alice.client.createRoom({ preset: "private_chat", invite: [bob.userId] });
    await alice.client.createRoom({ preset: "private_chat" });
    const shared = () => alice.client._unstable_getSharedRooms(bob.userId);
    assert.deepEqual(await shared(), [room]);
    await bob.becomes(dark, "invite");
    await bob.join(dark);
    assert.deepEqual((await shared()).sort(), [room, dark].sort());
    const stable = await bob.asks("GET", "v1", "/mutual_rooms", { user_id: alice.userId });
    assert.deepEqual(stable.joined.sort(), [room, dark].sort());
}

// The public rooms page by page, by their words and their type; an alias, and a summary for who is not inside.
export async function rooms(stage) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((name) => stage.arrive(name)));
    const made = [];
    for (let number = 0; number < 5; number++) {
        const { room_id } = await alice.client.createRoom({
            preset: "public_chat",
            visibility: "public",
            name: `Loft ${number}`,
            topic: `perches ${stage.mark}`,
            room_alias_name: `loft-${number}-${stage.mark}`,
            creation_content: number === 4 ? { type: "m.space" } : {},
        });
        made.push(room_id);
    }
    const list = async (filter, limit = 2) => {
        const seen = [];
        let since;
        do {
            const page = await bob.client.publicRooms({ limit, filter, ...(since && { since }) });
            assert.ok(page.chunk.length <= limit);
            seen.push(...page.chunk);
            since = page.next_batch;
        } while (since);
        return seen;
    };
    const words = { generic_search_term: stage.mark };
    assert.deepEqual((await list(words)).map((each) => each.room_id).sort(), [...made].sort());
    const [space] = await list({ ...words, room_types: ["m.space"] });
    assert.deepEqual([space.room_id, space.room_type, space.name], [made[4], "m.space", "Loft 4"]);
    assert.equal((await list({ ...words, room_types: [null] })).length, 4);
    await alice.client.setRoomDirectoryVisibility(made[0], "private");
    assert.equal((await list(words)).length, 4);
    assert.equal((await bob.client.getRoomDirectoryVisibility(made[0])).visibility, "private");
    await stage.refused("M_FORBIDDEN", bob.client.setRoomDirectoryVisibility(made[1], "private"));

    const alias = `#loft-1-${stage.mark}:${alice.client.getDomain()}`;
    assert.equal((await bob.client.getRoomIdForAlias(alias)).room_id, made[1]);
    const summary = await bob.client.getRoomSummary(alias);
    assert.deepEqual(
        [summary.room_id, summary.name, summary.num_joined_members, summary.join_rule, summary.membership ?? "leave"],
        [made[1], "Loft 1", 1, "public", "leave"],
    );
    await bob.client.joinRoom(alias);
    await bob.becomes(made[1], "join");
    assert.equal((await bob.client.getRoomSummary(made[1])).membership, "join");
    await stage.refused("M_FORBIDDEN", bob.client.deleteAlias(alias));
    const second = `#second-${stage.mark}:${alice.client.getDomain()}`;
    await bob.client.createAlias(second, made[1]);
    assert.deepEqual((await bob.client.getLocalAliases(made[1])).aliases.sort(), [alias, second].sort());
    await bob.client.deleteAlias(second);
    await stage.refused("M_NOT_FOUND", bob.client.getRoomIdForAlias(second));
    const { room_id: dark } = await alice.client.createRoom({ preset: "private_chat" });
    await stage.refused("M_NOT_FOUND", bob.client.getRoomSummary(dark));
}

// A space with a space in it, page by page: what Bob may know of, in its order.
export async function spaces(stage) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((name) => stage.arrive(name)));
    const make = async (name, more = {}) => {
        const { room_id } = await alice.client.createRoom({ preset: "public_chat", name, ...more });
        return room_id;
    };
    const asSpace = { creation_content: { type: "m.space" } };
    const house = await make("House", asSpace);
    const attic = await make("Attic", asSpace);
    const [hall, stairs, chest, secret] = [
        await make("Hall"),
        await make("Stairs"),
        await make("Chest"),
        await make("Secret", { preset: "private_chat" }),
    ];
    const put = (space, child, more = {}) =>
        alice.client.sendStateEvent(space, "m.space.child", { via: [alice.client.getDomain()], ...more }, child);
    await put(house, stairs, { order: "b" });
    await put(house, hall, { order: "a", suggested: true });
    await put(house, attic, { order: "c" });
    await put(house, secret);
    await put(attic, chest);
    await put(attic, house); // a circle
    const room = await bob.join(house);

    const walk = async (...options) => {
        const hierarchy = new RoomHierarchy(room, 2, ...options);
        while (hierarchy.canLoadMore) await hierarchy.load();
        return hierarchy;
    };
    const whole = await walk();
    assert.deepEqual(whole.rooms.map((each) => each.name), ["House", "Hall", "Stairs", "Attic", "Chest"]);
    assert.equal(whole.isSuggested(house, hall), true);
    assert.deepEqual([...whole.viaMap.get(chest)], [alice.client.getDomain()]);
    assert.ok(whole.getRelation(house, secret), "that there is a child is known");
    assert.ok(!whole.roomMap.has(secret), "and not what it is");
    assert.deepEqual((await walk(1)).rooms.map((each) => each.name), ["House", "Hall", "Stairs", "Attic"]);
    assert.deepEqual((await walk(undefined, true)).rooms.map((each) => each.name), ["House", "Hall"]);
}

// The event nearest to a time, from both sides, and what stands around it.
export async function times(stage) {
    const alice = await stage.arrive("alice");
    const { room_id: room } = await alice.client.createRoom({ preset: "private_chat" });
    const said = [];
    const phone = await stage.login(alice); // what a client sent itself it does not always show in its order
    for (let number = 0; number < 30; number++) said.push(await phone.says(room, `word ${number}`));
    await alice.hears(room, "word 29");
    const [middle, last] = [await alice.client.fetchRoomEvent(room, said[12]), await alice.client.fetchRoomEvent(room, said[29])];
    const nearest = async (time, direction) => (await alice.client.timestampToEvent(room, time, direction)).event_id;
    const near = await alice.client.fetchRoomEvent(room, await nearest(middle.origin_server_ts, "f"));
    assert.equal(near.origin_server_ts, middle.origin_server_ts);
    assert.equal(await nearest(last.origin_server_ts + 60_000, "b"), said[29]);
    const first = await alice.client.fetchRoomEvent(room, await nearest(0, "f"));
    assert.equal(first.type, "m.room.create");
    await stage.refused("M_NOT_FOUND", nearest(last.origin_server_ts + 60_000, "f"));

    // The client jumps there, and reads in both directions until both ends.
    const set = alice.room(room).getUnfilteredTimelineSet();
    const timeline = await alice.client.getEventTimeline(set, said[12]);
    assert.ok(timeline.getEvents().some((each) => each.getId() === said[12]));
    while (await alice.client.paginateEventTimeline(timeline, { backwards: true, limit: 8 }));
    const isLive = () => timeline === alice.room(room).getLiveTimeline() || timeline.getNeighbouringTimeline("f") !== null;
    while (!isLive() && (await alice.client.paginateEventTimeline(timeline, { backwards: false, limit: 8 })));
    let oldest = timeline;
    while (oldest.getNeighbouringTimeline("b")) oldest = oldest.getNeighbouringTimeline("b");
    const events = [];
    for (let each = oldest; each; each = each.getNeighbouringTimeline("f")) events.push(...each.getEvents());
    assert.equal(events[0].getType(), "m.room.create");
    const bodies = texts(events);
    assert.deepEqual(bodies, said.map((_, number) => `word ${number}`));
}
