-- Of a redacted state event: the content that the authorisation rules go by, so that they judge as before.
ALTER TABLE events ADD COLUMN rules_content BYTES;
