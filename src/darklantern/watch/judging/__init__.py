"""From readings to alarms with a stated false-alarm rate, and to what may be claimed of them. Pure: numbers only."""
