"""What a search decides: functions of what is known (`SearchState`), so that a simulation replays the same decisions."""
