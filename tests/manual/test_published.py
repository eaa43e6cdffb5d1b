"""Miniatures that others have published or worked by hand: their numbers, typed in, beside what the code computes."""

from typing import ClassVar

import numpy as np
import pytest

from manual import (
    SGD,
    BCELoss,
    CrossEntropyLoss,
    Linear,
    LogSoftmax,
    Network,
    NLLLoss,
    ReLU,
    Sigmoid,
    SquaredError,
)


class TestTwoTwoTwo:
    """M. Mazur, "A Step by Step Backpropagation Example": 2-2-2, sigmoid, half the squared error, eta 0.5.

    w1, w2 lead into h1 and w3, w4 into h2; w5, w6 into o1 and w7, w8 into o2. One bias for both units of a layer, which
    the example does not update: after one step it touches none of the numbers.
    """

    INPUT = np.array([[0.05, 0.10]])
    TARGET = np.array([[0.01, 0.99]])

    @pytest.fixture
    def network(self) -> Network:
        parameters = {
            "linear1.weight": [[0.15, 0.20], [0.25, 0.30]],
            "linear1.bias": [0.35, 0.35],
            "linear2.weight": [[0.40, 0.45], [0.50, 0.55]],
            "linear2.bias": [0.60, 0.60],
        }
        return Network([Linear(2, 2), Sigmoid(), Linear(2, 2), Sigmoid()], loss=SquaredError(), parameters=parameters)

    def test_outputs(self, network: Network) -> None:
        network.loss(self.INPUT, self.TARGET)
        trace = network.trace()
        # Published with eight or nine decimals.
        assert trace["linear1.output"][0, 0] == pytest.approx(0.3775, abs=1e-15)
        np.testing.assert_allclose(trace["sigmoid1.output"], [[0.593269992, 0.596884378]], rtol=0, atol=5e-10)
        assert trace["linear2.output"][0, 0] == pytest.approx(1.105905967, abs=5e-10)
        assert trace["sigmoid2.output"][0, 0] == pytest.approx(0.75136507, abs=5e-9)
        np.testing.assert_array_equal(network.predict(self.INPUT), trace["sigmoid2.output"])

    def test_cost(self, network: Network) -> None:
        assert network.loss(self.INPUT, self.TARGET) == pytest.approx(0.2983711087600027, rel=1e-12)

    def test_gradients_of_w5_to_w8(self, network: Network) -> None:
        network.loss(self.INPUT, self.TARGET)
        published = [0.08216704056423077, 0.08266762784753325, -0.02260254047747507, -0.02274024221597822]
        np.testing.assert_allclose(network.backward()["linear2.weight"].ravel(), published, rtol=1e-12)

    def test_weights_after_one_step(self, network: Network) -> None:
        network.loss(self.INPUT, self.TARGET)
        network.backward()
        SGD(network, lr=0.5).step()
        w5_to_w8 = [0.35891647971788465, 0.4086661860762334, 0.5113012702387375, 0.5613701211079891]
        w1_to_w4 = [0.1497807161327628, 0.19956143226552567, 0.24975114363236958, 0.29950228726473915]
        np.testing.assert_allclose(network.parameters["linear2.weight"].ravel(), w5_to_w8, rtol=1e-12)
        np.testing.assert_allclose(network.parameters["linear1.weight"].ravel(), w1_to_w4, rtol=1e-12)
        # What a common mistake gives: the updated w5..w8 used to carry the error to the hidden layer.
        mistaken = [0.14981763856120295, 0.19963527712240592]
        assert np.abs(network.parameters["linear1.weight"][0] - mistaken).min() > 3e-5


class TestToyNetwork:
    """Stanford CS231n, assignment 1, two-layer toy network: 4-10-3, ReLU, mean softmax cross-entropy.

    Its weights are stored (in, out), ours (out, in). It adds 0.05 * (sum W1^2 + sum W2^2), whose gradient is 0.1 * W:
    in our terms a weight decay of 0.1 on the weights.
    """

    TARGET = np.array([0, 1, 2, 2, 1])
    DECAY: ClassVar = {"linear1.weight": 0.1, "linear2.weight": 0.1}

    @pytest.fixture
    def parameters(self) -> dict[str, np.ndarray]:
        stream = np.random.RandomState(0)
        first, second = 0.1 * stream.randn(4, 10), 0.1 * stream.randn(10, 3)
        return {
            "linear1.weight": first.T,
            "linear1.bias": np.zeros(10),
            "linear2.weight": second.T,
            "linear2.bias": np.zeros(3),
        }

    @pytest.fixture
    def inputs(self) -> np.ndarray:
        return 10 * np.random.RandomState(1).randn(5, 4)

    @pytest.fixture
    def network(self, parameters: dict[str, np.ndarray]) -> Network:
        return Network([Linear(4, 10), ReLU(), Linear(10, 3)], loss=CrossEntropyLoss(), parameters=parameters)

    def test_scores(self, network: Network, inputs: np.ndarray) -> None:
        published = [
            [-0.81233741, -1.27654624, -0.70335995],
            [-0.17129677, -1.18803311, -0.47310444],
            [-0.51590475, -1.01354314, -0.85042150],
            [-0.15419291, -0.48629638, -0.52901952],
            [-0.00618733, -0.12435261, -0.15226949],
        ]
        np.testing.assert_allclose(network.predict(inputs), published, rtol=0, atol=5e-9)

    def test_loss(self, network: Network, inputs: np.ndarray) -> None:
        loss = network.loss(inputs, self.TARGET)
        assert loss == pytest.approx(1.2658570521180532, rel=1e-12)
        squares = sum((network.parameters[name] ** 2).sum() for name in self.DECAY)
        assert loss + 0.05 * squares == pytest.approx(1.3037878913298202, rel=1e-12)

    def test_gradients(self, network: Network, inputs: np.ndarray) -> None:
        network.loss(inputs, self.TARGET)
        gradients = network.backward()
        assert gradients["linear1.weight"].sum() == pytest.approx(-0.2269961514884411, rel=1e-12)
        assert gradients["linear1.bias"].sum() == pytest.approx(0.04422347064873467, rel=1e-12)
        published = [0.20996909805653818, -0.14319049924438165, -0.06677859881215652]
        np.testing.assert_allclose(gradients["linear2.bias"], published, rtol=1e-12)

    def test_the_chain_of_log_softmax_and_likelihood_gives_the_same(
        self, parameters: dict[str, np.ndarray], inputs: np.ndarray
    ) -> None:
        layers = [Linear(4, 10), ReLU(), Linear(10, 3), LogSoftmax()]
        network = Network(layers, loss=NLLLoss(), parameters=parameters)
        assert network.loss(inputs, self.TARGET) == pytest.approx(1.2658570521180532, rel=1e-12)
        published = [0.20996909805653818, -0.14319049924438165, -0.06677859881215652]
        np.testing.assert_allclose(network.backward()["linear2.bias"], published, rtol=1e-12)

    def test_update(self, network: Network, inputs: np.ndarray, parameters: dict[str, np.ndarray]) -> None:
        network.loss(inputs, self.TARGET)
        network.backward()
        SGD(network, lr=0.25, weight_decay=self.DECAY).step()
        initial = parameters["linear1.weight"].sum()
        wanted = initial - 0.25 * (-0.2269961514884411 + 0.1 * initial)
        assert network.parameters["linear1.weight"].sum() == pytest.approx(wanted, rel=1e-12)
        assert network.parameters["linear1.bias"].sum() == pytest.approx(-0.25 * 0.04422347064873467, rel=1e-12)
        wanted = [-0.052492274514134545, 0.03579762481109541, 0.01669464970303913]  # -0.25 * the gradients above
        np.testing.assert_allclose(network.parameters["linear2.bias"], wanted, rtol=1e-12)


class TestThreeTwoOne:
    """The example that scikit-learn's `test_fit` works by hand: 3-2-1, sigmoid, BCE, lr 0.1, weight decay 0.1.

    Its comment gives three decimals; here are the same steps, carried further (40 digits, Python's decimal).

        z = 0.6*0.1 + 0.8*0.3 + 0.7*0.5 + 0.1  = 0.75               into the first hidden unit
            0.6*0.2 + 0.8*0.1 + 0.7*0.0 + 0.1  = 0.30               into the second
        h = 1/(1 + e^-0.75) = 0.679178699175393    1/(1 + e^-0.30) = 0.574442516811659
        o = 0.1*0.679178699175393 + 0.2*0.574442516811659 + 1      = 1.182806373279871
        p = 1/(1 + e^-o)                                           = 0.765452021909520
        C = -log(1 - p), since the target is 0                     = 1.450095114622229
        delta of the output   = p - 0                              = 0.765452021909520
        delta of the hidden   = delta * 0.1 * h1 (1 - h1)          = 0.016678816353894
                                delta * 0.2 * h2 (1 - h2)          = 0.037424221791254
        dC/dv = delta * h = 0.519878708, 0.439708186     with decay  + 0.1 * v
        v <- 0.1 - 0.1 * (0.519878708 + 0.01), 0.2 - 0.1 * (0.439708186 + 0.02)
        w <- w - 0.1 * (hidden delta * x + 0.1 * w)

    The original's third row of new hidden weights, (0.4939998, -0.002244), multiplies by 0.6 where x3 is 0.7; three
    decimals do not show it.
    """

    INPUT = np.array([[0.6, 0.8, 0.7]])
    TARGET = np.array([[0.0]])
    PARAMETERS: ClassVar = {
        "linear1.weight": [[0.1, 0.3, 0.5], [0.2, 0.1, 0.0]],
        "linear1.bias": [0.1, 0.1],
        "linear2.weight": [[0.1, 0.2]],
        "linear2.bias": [1.0],
    }

    @pytest.fixture
    def network(self) -> Network:
        layers = [Linear(3, 2), Sigmoid(), Linear(2, 1), Sigmoid()]
        return Network(layers, loss=BCELoss(), parameters=self.PARAMETERS)

    def test_forward(self, network: Network) -> None:
        assert network.loss(self.INPUT, self.TARGET) == pytest.approx(1.450095114622229, rel=1e-14)
        trace = network.trace()
        np.testing.assert_allclose(trace["linear1.output"], [[0.75, 0.30]], rtol=1e-14)
        np.testing.assert_allclose(trace["sigmoid1.output"], [[0.679178699175393, 0.574442516811659]], rtol=1e-14)
        np.testing.assert_allclose(trace["linear2.output"], [[1.182806373279871]], rtol=1e-14)
        np.testing.assert_allclose(trace["sigmoid2.output"], [[0.765452021909520]], rtol=1e-14)

    def test_deltas(self, network: Network) -> None:
        network.loss(self.INPUT, self.TARGET)
        network.backward()
        trace = network.trace()
        np.testing.assert_allclose(trace["linear2.output.grad"], [[0.765452021909520]], rtol=1e-13)
        np.testing.assert_allclose(
            trace["linear1.output.grad"], [[0.01667881635389428, 0.03742422179125381]], rtol=1e-13
        )

    def test_update(self, network: Network) -> None:
        network.loss(self.INPUT, self.TARGET)
        network.backward()
        SGD(network, lr=0.1, weight_decay={"linear1.weight": 0.1, "linear2.weight": 0.1}).step()
        wanted = {
            "linear1.weight": [
                [0.09799927101876634, 0.2956656946916885, 0.4938324828552274],
                [0.1957545466925248, 0.0960060622566997, -0.002619695525387767],
            ],
            "linear1.bias": [0.09833211836461057, 0.09625757782087462],
            "linear2.weight": [[0.04701212914783178, 0.1540291814035722]],
            "linear2.bias": [0.923454797809048],
        }
        for name, parameter in network.parameters.items():
            np.testing.assert_allclose(parameter, wanted[name], rtol=1e-12, err_msg=name)
