//! How much memory an image needs to come up, estimated before a machine is started in vain (pitfall 70).
