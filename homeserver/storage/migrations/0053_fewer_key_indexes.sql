-- What a device has left is counted by `slot`, which begins with user and device: one index serves claims and counts.
DROP INDEX one_time_keys_to_count;
