"""A model of conf/model with small sizes, for tokens and for vectors, and inputs for it."""

import pytest

from seqlab.contract.measure import random_inputs
from tests.small_models import MODELS, small_model, token_spec, vector_spec

SPECS = {"tokens": token_spec(), "vectors": vector_spec()}


@pytest.fixture(params=SPECS)
def spec(request):
    return SPECS[request.param]


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def model(name, spec):
    return small_model(name, spec).eval()


@pytest.fixture
def inputs(spec):
    return random_inputs(spec, 3, spec.max_length)
