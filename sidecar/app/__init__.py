"""Configuration to objects, and their life: start, serve, drain, stop.

    build.py    models to policies, pools and routes: the one translator
    service.py  what runs: listeners, admin port, ticks
    run.py      until a signal says otherwise

The only package that knows all the others.
"""
