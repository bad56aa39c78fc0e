// Accounts: other ways to log in, tokens that end, a new password, profiles, presence, typing, and the end of an account.

import { PASSWORD, assert, sdk } from "./stage.mjs";

function byPassword(who, password = PASSWORD) {
    return { type: "m.login.password", identifier: { type: "m.id.user", user: who.userId }, password };
}

async function loggedOut(who) {
    return who.until("to be logged out", () => who.loggedOut);
}

function listens(who) {
    who.client.on(sdk.HttpApiEvent.SessionLoggedOut, (problem) => {
        who.loggedOut = problem;
    });
}

// A device logs another in by a token that is good once, and each sees the other.
export async function login_by_token(stage) {
    const alice = await stage.arrive("alice");
    assert.deepEqual((await alice.client.getCapabilities())["m.get_login_token"], { enabled: true });
    const { flows } = await alice.client.loginFlows();
    assert.ok(flows.some((each) => each.type === "m.login.token" && each.get_login_token));
    const question = await stage.refused(undefined, alice.client.requestLoginToken());
    assert.equal(question.httpStatus, 401);
    stage.foresee(/^POST \/login\/get_token 401 /);
    const { login_token, expires_in_ms } = await alice.client.requestLoginToken({
        ...byPassword(alice),
        session: question.data.session,
    });
    assert.ok(expires_in_ms > 0);
    const login = { type: "m.login.token", token: login_token, initial_device_display_name: "Tablet" };
    const credentials = await stage.client().loginRequest(login);
    assert.equal(credentials.user_id, alice.userId);
    await stage.refused("M_FORBIDDEN", stage.client().loginRequest(login));
    const tablet = stage.person("tablet", credentials);
    assert.equal((await tablet.client.whoami()).device_id, credentials.device_id);
    const { devices } = await alice.client.getDevices();
    assert.deepEqual(devices.map((each) => each.display_name).includes("Tablet"), true);
    await alice.client.setDeviceDetails(credentials.device_id, { display_name: "Old tablet" });
    assert.equal((await alice.client.getDevice(credentials.device_id)).display_name, "Old tablet");
}

// A token that ends is renewed; the old ones are not good any more, and the client is told that it may log in again.
export async function refresh_tokens(stage) {
    const alice = await stage.register("alice", { refresh_token: true });
    assert.ok(alice.credentials.expires_in_ms > 0);
    const first = alice.credentials;
    const second = await alice.client.refreshToken(first.refresh_token);
    assert.notEqual(second.access_token, first.access_token);
    alice.client.setAccessToken(second.access_token);
    assert.equal((await alice.client.whoami()).user_id, alice.userId);
    // Once the new token is used the old ones are gone.
    await stage.refused("M_UNKNOWN_TOKEN", stage.client().refreshToken(first.refresh_token));
    const third = await alice.client.refreshToken(second.refresh_token);
    alice.client.setAccessToken(third.access_token);
    await alice.start();
    await alice.client.logout();
    await stage.refused("M_UNKNOWN_TOKEN", alice.client.whoami());
    stage.foresee(/^(GET|POST) .* 401 M_UNKNOWN_TOKEN$/);
}

// A new password logs the other devices out, and the client of one of them says so.
export async function new_password(stage) {
    const alice = await stage.arrive("alice");
    const phone = await stage.login(alice);
    listens(phone);
    await phone.start();
    const next = "a horse of another colour";
    const wrong = { ...byPassword(alice, "wrong") };
    const refused = await alice.client.setPassword(wrong, next).catch((error) => error);
    assert.equal(refused.httpStatus, 401);
    stage.foresee(/^POST \/account\/password 401 /);
    await alice.client.setPassword(byPassword(alice), next, true);
    stage.foresee(/^POST \/account\/password 401 /);
    const problem = await loggedOut(phone);
    assert.deepEqual([problem.errcode, problem.isSoftLogout?.() ?? problem.data.soft_logout ?? false], ["M_UNKNOWN_TOKEN", false]);
    stage.foresee(/ 401 M_UNKNOWN_TOKEN$/);
    await stage.refused("M_FORBIDDEN", stage.client().loginRequest(byPassword(alice)));
    const tablet = await stage.login(alice, { password: next });
    assert.equal((await tablet.client.whoami()).user_id, alice.userId);
    assert.equal((await alice.client.whoami()).user_id, alice.userId);

    // A device that is removed by another.
    const other = stage.person("tablet", tablet.credentials);
    listens(other);
    await other.start();
    await alice.client.deleteDevice(tablet.credentials.device_id, byPassword(alice, next));
    await loggedOut(other);
    stage.foresee(/ 401 M_UNKNOWN_TOKEN$/);
    const { devices } = await alice.client.getDevices();
    assert.deepEqual(devices.map((each) => each.device_id), [alice.client.getDeviceId()]);
}

// Names, pictures and further fields of a profile, as others see them, in rooms and outside.
export async function profiles(stage) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((name) => stage.arrive(name)));
    const { room_id: room } = await alice.client.createRoom({ preset: "public_chat" });
    await bob.join(room);
    await alice.client.setDisplayName("Alice the Pigeon");
    await alice.client.setAvatarUrl("mxc://example.org/pigeon");
    await bob.until("the new name and picture", () => {
        const member = bob.room(room).getMember(alice.userId);
        return member?.rawDisplayName === "Alice the Pigeon" && member.getMxcAvatarUrl() === "mxc://example.org/pigeon";
    });
    assert.ok(await alice.client.doesServerSupportExtendedProfiles());
    await alice.client.setExtendedProfileProperty("m.tz", "Europe/Berlin");
    await alice.client.setExtendedProfileProperty("org.example.feathers", { colour: "grey" });
    assert.equal(await bob.client.getExtendedProfileProperty(alice.userId, "m.tz"), "Europe/Berlin");
    const profile = await bob.client.getExtendedProfile(alice.userId);
    assert.deepEqual(profile, {
        displayname: "Alice the Pigeon",
        avatar_url: "mxc://example.org/pigeon",
        "m.tz": "Europe/Berlin",
        "org.example.feathers": { colour: "grey" },
    });
    await alice.client.deleteExtendedProfileProperty("org.example.feathers");
    assert.equal(await bob.client.getExtendedProfileProperty(alice.userId, "org.example.feathers"), undefined);
    stage.foresee(/^GET \/profile\/@\/org.example.feathers 404 M_NOT_FOUND$/);
    await stage.refused("M_NOT_FOUND", bob.client.getProfileInfo(`@nobody-${stage.mark}:${bob.client.getDomain()}`));
    const token = await alice.client.getOpenIdToken();
    assert.deepEqual([token.token_type, token.matrix_server_name], ["Bearer", alice.client.getDomain()]);
    const answer = await fetch(`${stage.url}/_matrix/federation/v1/openid/userinfo?access_token=${token.access_token}`);
    assert.deepEqual(await answer.json(), { sub: alice.userId });
}

// Who is there, who writes, who has read: what comes and goes.
export async function presence_typing_receipts(stage) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((name) => stage.arrive(name)));
    const { room_id: room } = await alice.client.createRoom({ preset: "private_chat", invite: [bob.userId] });
    await bob.becomes(room, "invite");
    await bob.join(room);
    await alice.client.setPresence({ presence: "online", status_msg: "on the roof" });
    await bob.until("Alice's presence", () => bob.client.getUser(alice.userId)?.presenceStatusMsg === "on the roof");
    assert.equal((await bob.client.getPresence(alice.userId)).status_msg, "on the roof");
    await alice.client.setPresence({ presence: "unavailable" });
    await bob.until("Alice away", () => bob.client.getUser(alice.userId).presence === "unavailable");

    await bob.client.sendTyping(room, true, 30_000);
    await alice.until("Bob types", () => alice.room(room).getMember(bob.userId)?.typing);
    await bob.client.sendTyping(room, false, 30_000);
    await alice.until("Bob does not type", () => !alice.room(room).getMember(bob.userId).typing);

    const first = await alice.says(room, "one");
    const second = await alice.says(room, "two");
    await bob.client.sendReadReceipt(await bob.finds(room, first));
    await alice.until("the receipt", () => alice.room(room).getEventReadUpTo(bob.userId) === first);
    await bob.client.setRoomReadMarkers(room, second, await bob.finds(room, second));
    await alice.until("the receipt", () => alice.room(room).getEventReadUpTo(bob.userId) === second);
    await bob.until("the marker", () => bob.room(room).getAccountData("m.fully_read")?.getContent().event_id === second);
    assert.ok(alice.room(room).hasUserReadEvent(bob.userId, first));
    await alice.client.setAccountData("org.example.setting", { on: true });
    await alice.until("the setting", () => alice.client.getAccountData("org.example.setting")?.getContent().on);
    await alice.client.setRoomTag(room, "u.friends", { order: 0.25 });
    await alice.until("the tag", () => alice.room(room).tags["u.friends"]?.order === 0.25);
}

// An account is closed: out of its rooms, logged out everywhere, and its name is not given again.
export async function deactivation(stage) {
    const [alice, bob] = await Promise.all(["alice", "bob"].map((name) => stage.arrive(name)));
    listens(bob);
    const { room_id: room } = await alice.client.createRoom({ preset: "public_chat" });
    await bob.join(room);
    await bob.says(room, "farewell");
    await alice.hears(room, "farewell");
    const closed = await bob.client.deactivateAccount(byPassword(bob), true);
    assert.ok(closed.id_server_unbind_result);
    stage.foresee(/^POST \/account\/deactivate 401 /);
    await loggedOut(bob);
    stage.foresee(/ 401 M_UNKNOWN_TOKEN$/);
    await alice.until("Bob out of the room", () => alice.room(room).getMember(bob.userId).membership === "leave");
    const problem = await stage.client().loginRequest(byPassword(bob)).catch((error) => error);
    assert.ok(["M_USER_DEACTIVATED", "M_FORBIDDEN"].includes(problem.errcode), problem.errcode);
    stage.foresee(/^POST \/login 403 /);
    assert.equal(await stage.client().isUsernameAvailable(bob.userId.slice(1).split(":")[0]), false);
    stage.foresee(/^GET \/register\/available 400 M_USER_IN_USE$/);
    // Whoever comes later does not read what was said.
    const carol = await stage.arrive("carol");
    await carol.join(room);
    while (await carol.client.paginateEventTimeline(carol.room(room).getLiveTimeline(), { backwards: true, limit: 20 }));
    const said = carol.room(room).getLiveTimeline().getEvents().filter((each) => each.getSender() === bob.userId);
    assert.ok(!said.some((each) => each.getContent().body));
}
