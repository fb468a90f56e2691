//! What may a film be made of? Kinds of file and of code by name; whatever else ffmpeg knows is refused.
//!
//! A list of what is allowed, since ffmpeg also knows kinds of file that name other files and addresses (playlists,
//! concatenations, image sequences, devices), and each kind of code is a program that reads what a stranger wrote.

/// Where a child may read from and write to.
pub(crate) const PROTOCOLS: &str = "file,pipe";

/// Kinds of file, by the names that ffmpeg has for them: mp4 and 3gp are `mov`, mkv is `matroska`, wmv is `asf`.
pub(crate) const CONTAINERS: &str =
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,wav,mp3,flac,aac,m4v,h264,hevc,ivf";

/// The most usual, for a person.
pub(crate) const KNOWN: &str = "mp4, mov, mkv, webm, avi, mpeg, ts, flv, ogv, wmv and gif are known";

/// How pictures and sound may be written: ffmpeg's decoders. None of them computes on a card. The last line is never
/// decoded, only looked at while it is found out what a film holds: covers and subtitles.
pub(crate) const DECODERS: &str = concat!(
    "h264,hevc,av1,libdav1d,libaom-av1,vp8,vp9,libvpx,libvpx-vp9,mpeg4,mpeg2video,mpeg1video,mjpeg,h263,theora,",
    "msmpeg4,msmpeg4v2,msmpeg4v1,wmv1,wmv2,wmv3,vc1,flv,vp6,vp6f,svq1,svq3,cinepak,prores,dnxhd,dvvideo,rawvideo,gif,",
    "aac,aac_fixed,aac_latm,mp3,mp3float,mp2,mp2float,mp1float,opus,libopus,vorbis,libvorbis,flac,alac,ac3,eac3,dca,",
    "truehd,mlp,wmav1,wmav2,wmapro,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,speex,libspeex,nellymoser,",
    "adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,",
    "pcm_u8,pcm_s8,pcm_f32le,pcm_f32be,pcm_f64le,pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,",
    "png,ssa,ass,srt,subrip,mov_text,webvtt,text,dvbsub,dvdsub,pgssub,xsub,cc_dec"
);
