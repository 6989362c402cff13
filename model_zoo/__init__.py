"""Grid of workloads -> twin runs -> dataset -> training -> ONNX, rules and card; `pairs/` holds what is shipped."""
