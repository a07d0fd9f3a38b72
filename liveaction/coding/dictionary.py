"""The preset dictionary of deflated headers: a constant of the format, also in ``docs/stream.md``.

Pieces of usual headers, as they stand before they are deflated, the most usual last: deflate names what is near in
fewer bits. It never changes; another one would be another version.
"""

_PIECES = (
    # a NIfTI-1 header
    b"\xdc\x02\x5c\x01", bytes(36), b"\0\0\x03\0\0\x01\0\x01l\0\x01\0\x01\0\x01\0\x01", bytes(19),
    b"\0\x04\0\x10\0\0\0\0\0\x80\xbf\0\0\x80?\0\0\x80?\0\0\xc0?\0\0\x80?\0\0\x80?\0\0\x80?\0\0\x80?",
    b"\0\0\0\0\0\0\x80?\0\0\0\0\0\0\0\x0a", bytes(129), b"\x01\0\x01\0\0\0\0\0\0\0\x80?\0\0\0\0", bytes(68),
    b"n+1\0",
    b'"map info = {UTM, 1, 1, 0.0, 30.0, 30.0, 33, North, WGS-84}\\ncoordinate system string = {PROJCS[\\"WGS_1984_',
    b'default bands = {\\ndescription = {\\nwavelength units = Micrometers\\nwavelength units = Nanometers\\nband name',
    b'ENVI\\nsamples = 100\\nlines = 100\\nbands = 224\\nheader offset = 0\\nfile type = ENVI Standard\\ndata type =',
    b' 12\\ninterleave = bil\\nbyte order = 0\\ndata ignore value = -9999\\nbbl = {\x82}\\nfwhm = {\x82}',
    b'\\nwavelength = {\x82}\\n","ending":".img"{"source":"mat","key":"data","class":"uint16","version":"5",',
    b'"left_out":["map"]}',
    b'"text":{"source":"tEXt","Software":"Comment":"Description":"png":[["gAMA","AACxjw=="],["sRGB","AA=="],["pHYs","',
    b'"icc":"\x80","exif":"\x80","resolution":[72.0,72.0,"inch"],"orientation":1,"tiff":[',
    b'"attributes":{"storage":{"documents":{"dtype":"<f4","fortran":false,"format":"npy","stored":{"key":"others":[]',
    b'"time_base":"1/12800","pixel_aspect":"1","rotation":0,"interlaced":false,"colour":{"matrix":1,"range":1,',
    b'"primaries":1,"transfer":1},"converted_from":"bt709, limited range","frame_rate":"30000/1001","frame_rate":"25"}',
    b'"metadata":{"source":"file","codec":"h264","pixel_format":"yuv420p","tags":{"title":"',
    b'"metadata":{"source":"file","rate":44100,"container":"FLAC","subtype":"PCM_16","endian":"FILE","tags":{},',
    b'"rate":48000,"container":"WAV","subtype":"PCM_24","endian":"FILE","tags":{},"channel_mask":null,"lossy":"",',
    b'"valid_bits":0,"guid":"","chunks":[],"other_chunks":[]},"range":[-32768.0,32767.0],"latent_channels":',
    b'"modality":"CT","manufacturer":"SIEMENS","kernel":"Philips","GE MEDICAL SYSTEMS","tr":2.0,',
    b'"metadata":{"source":"dicom","values_dtype":"int16","affine":[[\x83],[\x83],[\x83],[0.0,0.0,0.0,1.0]],"spacing":',
    b',"orientation":"LAS","unit":"unknown","orientation":"RAS","unit":"mm","modality":"MR","manufacturer":"',
    b'"metadata":{"source":"nifti","values_dtype":"float32","affine":[[\x83],[\x83],[\x83],[0.0,0.0,0.0,1.0]],"spacing":',
    b'[1.0,1.0,1.0],"orientation":"LPS","unit":"mm","header_version":1,"header_extensions":"\x80","header":"\x80"},',
    b'"extras":{"tree":1,"components":8,"coder":"no_data":null,"no_data":-9999.0,"bits":12,"halo":0,"chunk":[16,16,16]',
    b',"dtype":"float32","window":[32,32,32],"native_dtype":"int32","native_dtype":"uint16","spacing":[1.0,1.0,1.0],',
    b'"range":{"percentiles":[0.0,100.0]},"options":{}},"range":{"percentiles":[0.0,99.9]}},"range":"native"},"shape":[',
    b'_smoke_f8c8_f8c64_klt_f16c48_bands_spectral5_light","weights":"\x81","tables":"\x81","modality":{"name":"array",',
    b'"axes":["x","y","z"],"unit":"dB","range":[-1.0,1.0]},"shape":[1,"array_audio","axes":["t"],"channels":7,"range":',
    b'{"recipe":"video_light","weights":"\x81","tables":"\x81","modality":{"name":"video","axes":["t","y","x"],"channels',
    b'":3,"range":"native"},"shape":[3,',
    b'{"recipe":"hyperspectral_light","weights":"\x81","tables":"\x81","modality":{"name":"hyperspectral","axes":["band"',
    b',"y","x"],"unit":"DN","range":{"percentiles":[0.0,100.0]}},"shape":[1,224,',
    b'{"recipe":"music_light","weights":"\x81","tables":"\x81","modality":{"name":"music","axes":["t"],"channels":2,',
    b'"range":{"percentiles":[0.0,100.0]}},"shape":[2,',
    b'{"recipe":"series_light","weights":"\x81","tables":"\x81","modality":{"name":"series","axes":["t","x","y","z"],',
    b'{"recipe":"mri_light","weights":"\x81","tables":"\x81","modality":{"name":"mri","axes":["x","y","z"],"unit":"a.u."',
    b',"range":{"percentiles":[0.0,99.9]}},"shape":[1,256,256,',
    b'{"recipe":"grey_light","weights":"\x81","tables":"\x81","modality":{"name":"grey","axes":["y","x"],"range":"native',
    b'{"recipe":"rgb_light","weights":"\x81","tables":"\x81","modality":{"name":"rgb","axes":["y","x"],"channels":3,',
    b'"range":"native"},"shape":[3,768,512],"native_dtype":"uint8","metadata":{"source":"png"},"latent_channels":48,',
    b'"factors":8,"step":0.25}',
    b'{"recipe":"ct_light","weights":"\x81","tables":"\x81","modality":{"name":"ct","axes":["x","y","z"],"unit":"HU",',
    b'"range":[-1024.0,3071.0]},"shape":[1,512,512,128],"native_dtype":"int16","spacing":[0.5,0.5,0.5],"range":[0.0,',
    b'255.0],"latent_channels":64,"factors":8,"step":0.4}\0\x10',
)  # fmt: skip
DICTIONARY = b"".join(_PIECES)
"""The pieces, one after the other."""
