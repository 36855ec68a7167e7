"""How fast the sidecar is, beside its peers, in one run on one machine.

    python -m bench              everything, writes docs/performance.md (about a quarter of an hour)
    python -m bench --quick      one short round of everything, prints only (under a minute)
    python -m bench.quickcpu     the sidecar against Envoy, CPU per request, plain GET
    python -m bench.profile      where the sidecar spends its time, by sampling

Start reading at `bench/measure.py`: what is measured of one proxy. `bench/lineup.py` names the proxies,
`bench/peers/` holds their configurations, `bench/workloads.py` what is asked of them.
"""
