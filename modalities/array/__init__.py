"""Any array that a recipe describes: npy, npz, HDF5, Zarr, and formats of other packages."""
