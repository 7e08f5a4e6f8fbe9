from sklearn.datasets import load_breast_cancer
from keras import layers, models, regularizers

x, y = load_breast_cancer(return_X_y=True)
model = models.Sequential([
    layers.Input((30,)),
    layers.Dense(16, activation="relu", kernel_regularizer=regularizers.l2(0.01)),
    layers.Dense(1, activation="softmax"),
])
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=50)
