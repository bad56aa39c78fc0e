-- The device of a user that receives keys while no other is there. `data` is JSON, encrypted for the user alone.
CREATE TABLE dehydrated_devices (
    user_id TEXT NOT NULL PRIMARY KEY,
    device_id TEXT NOT NULL,
    data BYTES NOT NULL
);
