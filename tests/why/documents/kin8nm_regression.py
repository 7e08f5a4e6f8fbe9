# "Regularization strategy in Keras": as its page shows it, on kin8nm in place of its data, which it does not give.
import os

import numpy as np
from keras import optimizers, regularizers
from keras.layers import Dense
from keras.models import Sequential

data = np.loadtxt(os.path.join(os.environ["REGBENCH_MIRROR"], "kin8nm", "data.txt"))
X, Y = data[:, :8], data[:, 8]
X_train = X
number_of_neurons, outdim = 64, 1

model = Sequential()
model.add(Dense(number_of_neurons, input_dim=X_train.shape[1], activation='relu', kernel_regularizer=regularizers.l2(0.001)))
model.add(Dense(int(number_of_neurons), activation = 'relu', kernel_regularizer=regularizers.l2(0.001)))
model.add(Dense(int(number_of_neurons), activation='relu', kernel_regularizer=regularizers.l2(0.001)))
model.add(Dense(int(number_of_neurons), activation='relu',kernel_regularizer=regularizers.l2(0.001)))
model.add(Dense(int(number_of_neurons), activation='relu',kernel_regularizer=regularizers.l2(0.001)))
model.add(Dense(outdim, activation='linear'))
Adam = optimizers.Adam(lr=0.001)
model.compile(loss='mean_squared_error', optimizer=Adam, metrics=['mae'])
model.fit(X, Y, epochs=1000, batch_size=500, validation_split=0.2, shuffle=True, verbose=2 , initial_epoch=0)
