"""`sidecar top`: what the dashboard shows, in a terminal. Needs the extra `tui`.

live.py      the loop: keys, answers and signals in, frames out
poll.py      asks /status in a thread
reading.py   what an answer says, whatever it lacks
view.py      what the person looking has chosen
frame.py     both together as lines
keys.py      bytes of a terminal as keys
terminal.py  the terminal taken over, and given back
"""
