"""AD4: what does not agree with itself or the inventory."""

from advisor.check.rules.agreement import (
    adapters,
    base_model,
    gpu,
    old_image,
    ray,
    routes,
    run_otherwise,
    runtime_loading,
    unset_slots,
)

JUDGING = (base_model, gpu, adapters, ray, unset_slots, runtime_loading, routes, old_image, run_otherwise)
"""Its rules, in the order of their codes."""
