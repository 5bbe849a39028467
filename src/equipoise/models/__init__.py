"""Reference networks, the factory and what is done to a network before training."""

from equipoise.labels.loss_settings import prior_bias
from equipoise.models import _torch  # noqa: F401  # comes first: says which extra brings torch
from equipoise.models.factory import MODEL_NAMES, make_model
from equipoise.models.freezing import freeze, trainable_share, unfreeze
from equipoise.models.head import CosineHead, Head, HeadOnFeatures, initialise_prior_bias
from equipoise.models.last_layer import find_last_layer, replace_head
from equipoise.models.lstm import LSTMClassifier
from equipoise.models.mlp import MLP
from equipoise.models.onnx_export import export_onnx
from equipoise.models.resnet import ResNet32
from equipoise.models.scaling import ScaledInputs
from equipoise.models.vgg import VGG16
from equipoise.models.weights import LoadReport, load_weights

__all__ = [
    "MLP",
    "MODEL_NAMES",
    "VGG16",
    "CosineHead",
    "Head",
    "HeadOnFeatures",
    "LSTMClassifier",
    "LoadReport",
    "ResNet32",
    "ScaledInputs",
    "export_onnx",
    "find_last_layer",
    "freeze",
    "initialise_prior_bias",
    "load_weights",
    "make_model",
    "prior_bias",
    "replace_head",
    "trainable_share",
    "unfreeze",
]
