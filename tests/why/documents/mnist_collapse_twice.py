# "Keras L2 regularization makes the network not learn": as its page shows it, with pixels divided by 255 twice and 300 epochs, as in its log.
from keras import activations, layers, losses, models, optimizers, regularizers
from keras.datasets import mnist
from keras.utils import to_categorical

(x_train, y_train), _ = mnist.load_data()
x_train = x_train.reshape(60000, 784).astype("float32") / 255 / 255
y_train = to_categorical(y_train)
x_train, x_val = x_train[:50000], x_train[50000:]
y_train, y_val = y_train[:50000], y_train[50000:]

NUM_CLASSES = 10
BATCH_SIZE = 128
EPOCHS = 300

model = models.Sequential([
    layers.Input(shape = x_train.shape[1:]),

    layers.Dense(units = 36, activation = activations.sigmoid, kernel_regularizer = regularizers.l2(0.0001)),
    layers.Dropout(0.5),

    layers.Dense(units = NUM_CLASSES, activation = activations.softmax)
])

model.summary()

model.compile(loss      = losses.CategoricalCrossentropy(),
              optimizer = optimizers.RMSprop(),
              metrics   = ['accuracy'])

history = model.fit(x_train, y_train,
                    batch_size = BATCH_SIZE,
                    epochs = EPOCHS,
                    verbose = 2,
                    validation_data = (x_val, y_val))
