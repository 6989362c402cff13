"""Pairs: manifest, ONNX graphs, decision trees and what they predict."""
